"""Answers to instructions: what is learned of a conversation, alone or packed."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from groundup.data.instructions import Conversation, read_conversations
from groundup.data.packing import Packed, PackedBatches, PackedRows, fit
from groundup.errors import InputError
from groundup.model.gpt import GPT
from groundup.sources.rows import BadRows
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.loop import on_device
from groundup.tune.config import InstructConfig
from groundup.tune.instruct import (
    can_pack,
    encode_conversations,
    held_out_loss,
    instruct,
    split_conversations,
)
from groundup.tune.neftune import add_noise

CPU = torch.device("cpu")


def talk(number: int, turns: int = 1) -> Conversation:
    messages: list[dict[str, str]] = []
    for turn in range(turns):
        messages.append({"role": "user", "content": f"Where is Tom ({number}, {turn})?"})
        messages.append({"role": "assistant", "content": "In the garden." * (1 + number % 3)})
    return Conversation(messages, f"rows.jsonl:{number}")


TALKS = [talk(number, 1 + number % 2) for number in range(12)]


def tensors(batch: Packed) -> Packed:
    return on_device(batch, CPU)


def test_packed_conversations_have_the_loss_that_they_have_alone(model: GPT, tokenizer: Tokenizer):
    examples, _ = fit(encode_conversations(TALKS, tokenizer, "assistant", BadRows()), 64)
    packed, apart = (PackedRows(examples, 64, together) for together in (True, False))
    assert len(packed) < len(apart) == len(TALKS) and packed.padding_share < apart.padding_share
    losses, tokens = 0.0, 0
    for ids, spoken in examples:
        ids = torch.from_numpy(ids).long()
        logits = model(ids[None, :-1])[0]
        each = F.cross_entropy(logits, ids[1:], reduction="none")
        losses += each[torch.from_numpy(spoken[1:])].sum().item()
        tokens += spoken[1:].sum()
    for rows in (packed, apart):
        whole = PackedBatches(rows, len(rows))(0)
        assert instruct(model, tensors(whole)).item() == pytest.approx(losses / tokens, abs=1e-5)
        assert held_out_loss(model, rows, 2) == pytest.approx(losses / tokens, abs=1e-5)


def test_the_mask_says_what_is_learned(tokenizer: Tokenizer):
    [answer] = encode_conversations(TALKS[:1], tokenizer, "assistant", BadRows())
    [whole] = encode_conversations(TALKS[:1], tokenizer, "all", BadRows())
    assert tokenizer.decode(answer.ids[answer.spoken].tolist()) == " In the garden.<|end|>"
    assert (answer.ids == whole.ids).all() and whole.spoken.all()


def test_a_conversation_that_the_template_refuses_is_listed(tokenizer: Tokenizer):
    strict = Tokenizer(tokenizer.vocabulary, tokenizer.special_tokens, (
        "{% if messages | length > 2 %}{{ raise_exception('one question only') }}{% endif %}"
        "{% for m in messages %}{{ m.role }} {{ m.content }}<|end|>{% endfor %}"
    ))  # fmt: skip
    bad = BadRows()
    assert len(encode_conversations(TALKS, strict, "assistant", bad)) == 6
    assert (
        len(bad) == 6
        and "one question only" in bad.summary(6)
        and "rows.jsonl:1:" in bad.summary(6)
    )
    with pytest.raises(InputError, match="none of 6 rows"):
        encode_conversations(TALKS[1::2], strict, "assistant", BadRows())


def test_a_question_is_never_in_both_parts():
    repeated = [*TALKS, *TALKS, *TALKS[:3]]
    learned, kept = split_conversations(repeated, 0.25, seed=1)
    asked = [{c.messages[0]["content"] for c in part} for part in (learned, kept)]
    assert asked[0].isdisjoint(asked[1]) and len(asked[1]) == 3
    assert len(learned) + len(kept) == len(repeated)
    assert split_conversations(TALKS, 0.0, 0) == (TALKS, [])
    assert split_conversations(TALKS, 0.25, 2)[1] != split_conversations(TALKS, 0.25, 3)[1]


def test_noise_is_added_while_training_and_to_nothing_else(model: GPT):
    ids = torch.zeros(2, 16, dtype=torch.long)
    plain = model.embedding(ids)
    handle = add_noise(model, alpha=5.0)
    assert torch.equal(model.embedding(ids), plain)
    moved = (model.train().embedding(ids) - plain).detach()
    bound = 5.0 / np.sqrt(16 * 32)
    assert moved.abs().max() <= bound and moved.abs().mean() == pytest.approx(bound / 2, rel=0.1)
    # Evenly spread numbers up to the bound have a third of its square as their mean square.
    assert moved[0].norm() == pytest.approx(5.0 / np.sqrt(3), rel=0.1)
    handle.remove()
    assert torch.equal(model.embedding(ids), plain)


def test_tuning_learns_the_answers_of_real_rows(real_data: Path, model: GPT, tokenizer: Tokenizer):
    bad = BadRows()
    rows = read_conversations([real_data / "en" / "instructions.json"], bad)
    learned, kept = split_conversations(rows, 0.1, 0)
    assert not len(bad) and 100 < len(kept) < 120
    parts = [
        fit(encode_conversations(part, tokenizer, "assistant", bad), 64)[0]
        for part in (learned[:60], kept[:20])
    ]
    train, validation = (PackedRows(part, 64) for part in parts)
    before = held_out_loss(model, validation, 8)
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=3e-3)
    batches = PackedBatches(train, 8)
    for n in range(20):
        instruct(model, tensors(batches(n))).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert held_out_loss(model, validation, 8) < before - 1


def test_real_rows_leave_hardly_a_place_empty(real_data: Path, tokenizer: Tokenizer):
    bad = BadRows()
    rows = read_conversations([real_data / "en" / "instructions.json"], bad)[:300]
    examples, cuts = fit(encode_conversations(rows, tokenizer, "assistant", bad), 512)
    assert PackedRows(examples, 512).padding_share < 0.03 and str(cuts) == ""
    assert PackedRows(examples, 512, together=False).padding_share > 0.5


def test_models_that_carry_a_state_get_rows_of_their_own(model: GPT):
    linear = model.config.model_copy(update={"layer_pattern": ["linear", "full"]})
    assert can_pack(model.config) and not can_pack(linear)
    assert InstructConfig().replay_share == 0.25
