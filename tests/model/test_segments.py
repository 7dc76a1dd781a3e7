"""Several texts in one row: each has the logits, the loss and the gradients that it has alone."""

import pytest
import torch
import torch.nn.functional as F

from groundup.errors import InputError
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.model.presets import PRESETS
from tests.model import test_gpt, test_parts

LENGTHS = [[7, 5, 1, 8], [11, 10]]
TIME = sum(LENGTHS[0])
# A preset at full size would not fit here; what is small is no part of it.
TINY = {
    "vocab_size": 50, "context_length": 32, "d_model": 24, "n_layers": 2, "n_heads": 4, "d_ff": 32,
    "head_dim": 6,
}  # fmt: skip
LONGROPE = {
    "kind": "longrope", "factor": 4.0, "original_context_length": 8,
    "short_factors": [1.0, 1.1, 1.2], "long_factors": [1.0, 2.0, 4.0],
}  # fmt: skip
VARIANTS = {
    **{f"part: {name}": test_parts.SMALL | parts for name, parts in test_parts.PARTS.items()},
    **{f"2017 on {i}": test_gpt.SMALL | parts for i, parts in enumerate(test_gpt.PARTS)},
    **{
        f"preset {name}": fields | TINY | ({"n_kv_heads": 2} if "n_kv_heads" in fields else {})
        for name, fields in PRESETS.items()
    },
    "longrope": test_parts.SMALL | {"rope_scaling": LONGROPE},
}


def built(fields: dict) -> GPT:
    torch.manual_seed(1)
    model = GPT(ModelConfig.parse(fields | {"context_length": 32, "dropout": 0.0})).eval()
    with torch.no_grad():  # away from the small beginnings, at which parts hardly differ
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def segments() -> torch.Tensor:
    return torch.stack(
        [torch.arange(len(row)).repeat_interleave(torch.tensor(row)) for row in LENGTHS]
    )


def losses(model: GPT, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(model.head(hidden).flatten(0, 1), targets.flatten(), reduction="sum")


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "part: memory"])
def test_packed_texts_have_the_loss_and_the_gradients_that_they_have_alone(name: str):
    model = built(VARIANTS[name])
    ids, targets = torch.randint(0, 50, (2, 2, TIME))
    packed = losses(model, model.hidden(ids, segments=segments()), targets)
    gradient = torch.autograd.grad(packed, model.embedding.weight)[0]
    alone = torch.zeros(())
    for row, lengths in enumerate(LENGTHS):
        for text, target in zip(ids[row].split(lengths), targets[row].split(lengths), strict=True):
            alone = alone + losses(model, model.hidden(text[None]), target)
    tokens = targets.numel()
    torch.testing.assert_close(packed / tokens, alone / tokens, atol=1e-5, rtol=0)
    wanted = torch.autograd.grad(alone, model.embedding.weight)[0]
    torch.testing.assert_close(gradient / tokens, wanted / tokens, atol=1e-5, rtol=0)


@torch.no_grad()
def test_one_text_in_a_row_is_as_without_segments_and_padding_after_it_harms_no_layer():
    for name, fields in VARIANTS.items():
        model, ids = built(fields), torch.randint(0, 50, (1, TIME))
        marks = torch.zeros_like(ids)
        marks[:, 15:] = -1
        packed = model.hidden(ids, segments=marks)[:, :15]
        assert torch.allclose(packed, model.hidden(ids[:, :15]), atol=1e-5), name


def test_a_layer_that_carries_its_state_refuses_several_texts_in_a_row():
    model = built(VARIANTS["part: memory"])
    with pytest.raises(InputError, match="Gated DeltaNet carries its state"):
        model.hidden(torch.zeros(2, TIME, dtype=torch.long), segments=segments())
