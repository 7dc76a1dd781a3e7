"""Instructions: a model learns to answer, from conversations in which somebody did.

In: conversations (`data/instructions.py`). On the way: their ids in the tokenizer's chat template, what
of them the assistant says (`tokenizer/turns.py`), several in a row (`data/packing.py`), and general
text among them, so that the model keeps what it knew. Out: an objective of the one loop, its batches,
and the loss of conversations that were kept aside.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from groundup.data.instructions import Conversation
from groundup.data.packing import Example, Packed, PackedRows, joined
from groundup.data.splitting import split_by
from groundup.errors import InputError
from groundup.language import N_
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.model.loss import token_scores
from groundup.sources.rows import BadRows
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.loop import on_device
from groundup.train.objectives import next_token


def instruct(model: GPT, batch: Packed) -> Float[Tensor, ""]:
    """Mean cross-entropy in nats of what is to be learned: each such token of the batch counts the same,
    long answers therefore more than short ones, as in most published tunings."""
    return next_token(model, batch.ids, batch.weights.flatten(), batch.segments)


def split_conversations(
    conversations: Sequence[Conversation], held_out: float, seed: int
) -> tuple[list[Conversation], list[Conversation]]:
    """The conversations to learn from, and a share of `held_out` to measure with. What the user asks
    first is never in both."""
    asked = [next(m["content"] for m in c.messages if m["role"] == "user") for c in conversations]
    return split_by(conversations, asked, held_out, seed)


def encode_conversations(
    conversations: Sequence[Conversation],
    tokenizer: Tokenizer,
    mask: Literal["assistant", "all"],
    bad: BadRows,
) -> list[Example]:
    """The ids of each conversation, and which of them are to be learned. One that the chat template
    refuses is noted in `bad`. Raises `InputError` if it refuses all."""
    examples: list[Example] = []
    for conversation in conversations:
        try:
            ids, spoken = tokenizer.encode_turns(conversation.messages)
        except InputError as error:
            bad.add(conversation.where, error.what)
            continue
        learned = np.array(spoken) | (mask == "all")
        examples.append(Example(np.array(ids, np.int32), learned))
    bad.refuse_if_all(len(examples), N_("choose another chat template (--template)"))
    return examples


def can_pack(config: ModelConfig) -> bool:
    """Whether the texts of a row can be kept apart: not by layers that carry a state (`delta.py`)."""
    return "linear" not in config.layer_pattern


@torch.no_grad()
def held_out_loss(model: GPT, rows: PackedRows, size: int, most_rows: int | None = None) -> float:
    """Mean −log p in nats of what is to be learned in `rows`, `size` of them at a time; with
    `most_rows`, of the first so many."""
    was_training, device = model.training, model.device
    model.eval()
    total = counted = 0.0
    for batch in _in_order(rows, size, most_rows):
        ids, weights, segments = on_device(batch, device)
        learned = weights.flatten() > 0
        hidden = model.hidden(ids[:, :-1], segments=segments[:, :-1]).flatten(0, 1)[learned]
        targets = ids[:, 1:].flatten()[learned]
        losses, _ = token_scores(hidden, model.head.weight, targets, model.head.softcap)
        total += losses.double().sum().item()
        counted += len(targets)
    model.train(was_training)
    return total / counted


def _in_order(rows: PackedRows, size: int, most_rows: int | None) -> Iterator[Packed]:
    last = len(rows) if most_rows is None else min(most_rows, len(rows))
    for start in range(0, last, size):
        yield joined([rows.row(i) for i in range(start, min(start + size, last))])
