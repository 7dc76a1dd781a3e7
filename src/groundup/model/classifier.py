"""A model that gives each text a label: a GPT whose head says how much speaks for each of them.

The body is a language model's, with all that it has learned; only the last matrix is another (GPT-1,
Radford et al. 2018, section 3.2). Texts of a batch are padded at their end, where causal attention
cannot see it, and the head looks at real tokens only. So padding changes no answer.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundup.model.config import ModelConfig, Pooling
from groundup.model.gpt import GPT
from groundup.model.linear import Linear

# Small, so that all labels begin nearly equally likely: GPT-1's.
HEAD_STD = 0.02


class Classifier(GPT):
    """`classifier(ids, lengths)` gives for each text one logit per label.

    >>> classifier = Classifier(ModelConfig(vocab_size=100), n_labels=2)
    >>> classifier(torch.zeros(3, 8, dtype=torch.long), torch.tensor([8, 5, 1])).shape
    torch.Size([3, 2])
    """

    def __init__(self, config: ModelConfig, n_labels: int, pooling: Pooling = "last"):
        super().__init__(config)
        self.head = LabelHead(config.d_model, n_labels)
        self.pooling: Pooling = pooling
        self.pool = POOLINGS[pooling]

    @classmethod
    def from_gpt(cls, model: GPT, n_labels: int, pooling: Pooling = "last") -> "Classifier":
        """A classifier with the body of `model`, adapters included, and a new head. Nothing is copied:
        training one trains the other."""
        with torch.device("meta"):  # no memory, no initialisation: the parts are put in whole
            classifier = cls(model.config, n_labels, pooling)
        for name, part in model.named_children():
            if name != "head":
                setattr(classifier, name, part)
        classifier.head = LabelHead(model.config.d_model, n_labels).to(model.embedding.weight)
        return classifier.train(model.training)

    @property
    def head_is_embedding(self) -> bool:
        """The head has labels for rows, not tokens: it is nobody's embedding."""
        return False

    def forward(  # type: ignore[override]
        self, ids: Int[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch labels"]:
        """The logits of the labels of texts, of which the first `lengths` ids of each row are text and
        the others padding, whatever they are."""
        return self.head(self.pooled(ids, lengths))

    def pooled(
        self, ids: Int[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch d_model"]:
        """One vector for each text: what the head looks at."""
        # Padding that no text needs is cut off. That spares work, and LongRoPE, which turns by how long
        # the rows are: only there, a text of a batch feels one that is longer than the original context.
        return self.pool(self.hidden(ids[:, : int(lengths.max())]), lengths)


class LabelHead(Linear):
    """From the stream to one logit per label."""

    softcap = None

    def __init__(self, d_model: int, n_labels: int):
        super().__init__(d_model, n_labels, bias=False)
        if not self.weight.is_meta:
            nn.init.normal_(self.weight, std=HEAD_STD)


# lab: last_token
def last_token(
    hidden: Float[Tensor, "batch time d_model"], lengths: Int[Tensor, " batch"]
) -> Float[Tensor, "batch d_model"]:
    """The last real token of each text: the only one that has seen all of it. A text of `lengths` tokens
    is padded at its end."""
    return hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1]


def mean_of_tokens(
    hidden: Float[Tensor, "batch time d_model"], lengths: Int[Tensor, " batch"]
) -> Float[Tensor, "batch d_model"]:
    """The mean of the real tokens of each text: each speaks for itself."""
    real = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]
    return torch.where(real[..., None], hidden, 0.0).sum(dim=1) / lengths[:, None]


def first_token(
    hidden: Float[Tensor, "batch time d_model"], lengths: Int[Tensor, " batch"]
) -> Float[Tensor, "batch d_model"]:
    """The first token of each text. It has seen nothing but itself: for comparison, as encoders (BERT)
    are read so."""
    return hidden[:, 0]


POOLINGS: dict[Pooling, Callable[[Tensor, Tensor], Tensor]] = {
    "last": last_token, "mean": mean_of_tokens, "first": first_token,
}  # fmt: skip
