"""Classification: a model learns which label belongs to a text.

The settings, what is trained, and the objective of the one loop. Reading and dividing the rows is
`data/examples.py` and `data/parts.py`; the model is `model/classifier.py`.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from groundup.errors import InputError
from groundup.model.classifier import Classifier
from groundup.model.gpt import GPT
from groundup.model.loss import cross_entropy
from groundup.train.objectives import Objective
from groundup.tune.config import TrainLayers


def classification(
    class_weights: Float[np.ndarray, " labels"] | None = None,
    label_smoothing: float = 0.0,
    language_loss: float = 0.0,
    language_model: GPT | None = None,
) -> Objective:
    """The cross-entropy of the labels in nats, each text weighted by its label's weight; and as a
    figure, the accuracy on the batch.

    With a `language_loss`, so many times the loss of the next token is added to it (Radford et al. 2018,
    section 3.2). `language_model` is the one that the classifier was made from, whose head says what
    comes next. That head is trained only where it is the embedding."""
    weights = None if class_weights is None else torch.from_numpy(class_weights).float()

    def objective(model: GPT, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        assert isinstance(model, Classifier)
        ids, lengths, labels = batch  # `Labelled`, in tensors
        hidden = model.hidden(ids)
        logits = model.head(model.pool(hidden, lengths))
        loss = F.cross_entropy(
            logits, labels, None if weights is None else weights.to(logits),
            label_smoothing=label_smoothing,
        )  # fmt: skip
        figures = {"train_accuracy": (logits.argmax(-1) == labels).float().mean()}
        if language_loss and language_model is not None:
            figures["language_loss"] = next_tokens(hidden, language_model, ids, lengths)
            loss = loss + language_loss * figures["language_loss"]
        return loss + model.auxiliary_loss(), figures

    return objective


def next_tokens(
    hidden: Float[Tensor, "batch time d_model"],
    language_model: GPT,
    ids: Int[Tensor, "batch time"],
    lengths: Int[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """Mean cross-entropy in nats of each token of the texts given those before it in its text; 0 where no
    text has two."""
    head = language_model.head
    is_embedding = language_model.head_is_embedding
    follows = torch.arange(1, ids.shape[1], device=ids.device) < lengths[:, None]
    if not follows.any():
        return hidden.new_zeros(())
    return cross_entropy(
        hidden[:, :-1][follows], head.weight if is_embedding else head.weight.detach(),
        ids[:, 1:][follows], cap=head.softcap,
    )  # fmt: skip


def balanced_weights(
    labels: Int[np.ndarray, " texts"], n_labels: int
) -> Float[np.ndarray, " labels"]:
    """Weights under which all labels count the same together, and the mean text counts 1."""
    return len(labels) / (n_labels * np.bincount(labels, minlength=n_labels))


def freeze(classifier: Classifier, train_layers: TrainLayers) -> None:
    """Let only what `train_layers` says require gradients.

    Raises `InputError` for more blocks than there are, and where an adapter is asked for that the model
    does not have, or has one beside other layers that should be trained."""
    adapted = [name for name, _ in classifier.named_parameters() if ".adapters." in name]
    if bool(adapted) != (train_layers == "lora") and (train_layers != "all"):
        raise InputError(
            "the model has an adapter: beside it, only the head is trained" if adapted
            else "there is no adapter to train",
            "train_layers", "leave train_layers at all" if adapted else "add one with --lora-rank 8",
        )  # fmt: skip
    if adapted:  # which has frozen everything else
        classifier.head.requires_grad_(True)
        return
    n_layers = classifier.config.n_layers
    trained = {"all": n_layers, "head": 0}.get(str(train_layers), train_layers)
    if not isinstance(trained, int) or trained > n_layers:
        raise InputError(
            f"there are no {train_layers} blocks to train", "train_layers", f"there are {n_layers}"
        )
    classifier.requires_grad_(train_layers == "all")
    for block in classifier.blocks[n_layers - trained :]:
        block.requires_grad_(True)
    classifier.final_norm.requires_grad_(trained > 0)
    classifier.head.requires_grad_(True)
