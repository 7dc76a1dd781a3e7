"""What a teacher says, kept: the loss of the formula, and a cache that is whole, its own, and made once."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from groundup.compress import teacher_cache
from groundup.compress.config import DistillConfig
from groundup.compress.distill import (
    Asked,
    Kept,
    TaughtBatch,
    cached_distillation,
    distillation,
    distillation_loss,
)
from groundup.compress.teacher_cache import Question, TeacherCache, likeliest
from groundup.data.shards import Tokens
from groundup.data.windows import WindowConfig, Windows
from groundup.errors import CorruptFileError, InputError
from groundup.model.gpt import GPT
from groundup.train.loop import on_device

from .test_distill import KINDS, head
from .test_masks import small_model, windows

VOCAB, LENGTH = 12, 8


def kept_of(theirs: Tensor, k: int, temperature: float) -> Kept:
    """The k likeliest of logits, and the rest of the probability, as plainly as can be."""
    p = (theirs / temperature).softmax(-1)
    values, ids = p.topk(k)
    rest = p.scatter(1, ids, 0.0).sum(-1, keepdim=True)
    outcomes = values if k == theirs.shape[1] else torch.cat([values, rest], -1)
    return Kept(ids, outcomes.log(), theirs.shape[1])


def with_one_for_the_rest(logits: Tensor, ids: Tensor, temperature: float) -> Tensor:
    """log-probabilities of these ids, and of all others together."""
    q = (logits / temperature).softmax(-1)
    of_ids = q.gather(1, ids)
    others = q.scatter(1, ids, 0.0).sum(-1, keepdim=True)
    return (of_ids if ids.shape[1] == logits.shape[1] else torch.cat([of_ids, others], -1)).log()


@given(
    st.sampled_from(KINDS), st.sampled_from([0.5, 1.0, 3.0]), st.integers(1, VOCAB),
    st.integers(0, 3), st.integers(0, 99),
)  # fmt: skip
@settings(deadline=None)
def test_loss_and_gradients_are_those_of_the_kept_tokens_and_one_for_the_rest(
    divergence: Literal["forward", "reverse"], temperature: float, k: int, padding: int, seed: int
):
    torch.manual_seed(seed)
    config = DistillConfig(divergence=divergence, temperature=temperature, teacher_share=0.7)
    mine = head(6, VOCAB + padding, None)  # a table that is longer than there are tokens
    hidden = torch.randn(5, 6, dtype=torch.double, requires_grad=True)
    theirs = 2 * torch.randn(5, VOCAB, dtype=torch.double)
    targets = torch.randint(VOCAB, (5,))
    kept = kept_of(theirs, k, temperature)
    loss, figures = distillation_loss(hidden, mine, kept, targets, config)
    logits = hidden @ mine.weight.T
    log_q = with_one_for_the_rest(logits[:, :VOCAB], kept.likeliest, temperature)
    first, second = (log_q, kept.log_probs)[:: 1 if divergence == "forward" else -1]
    kl = temperature**2 * F.kl_div(first, second, reduction="batchmean", log_target=True)
    expected = 0.3 * F.cross_entropy(logits, targets) + 0.7 * kl
    torch.testing.assert_close(figures["teacher_divergence"], kl)
    torch.testing.assert_close(loss, expected)
    wanted = [hidden, mine.weight]
    found, should_be = (
        torch.autograd.grad(of, wanted, retain_graph=True) for of in (loss, expected)
    )
    for gradient, reference in zip(found, should_be, strict=True):
        torch.testing.assert_close(gradient, reference)


@given(st.sampled_from(KINDS), st.integers(0, 99))
@settings(deadline=None)
def test_the_more_is_kept_the_nearer_from_below_is_the_divergence_to_the_whole_one(
    divergence: Literal["forward", "reverse"], seed: int
):
    torch.manual_seed(seed)
    config = DistillConfig(divergence=divergence, teacher_share=1.0)
    mine, its = head(6, VOCAB, None), head(8, VOCAB, None)
    hidden, known = (torch.randn(4, width, dtype=torch.double) for width in (6, 8))
    targets = torch.randint(VOCAB, (4,))
    losses = [
        distillation_loss(hidden, mine, kept_of(known @ its.weight.T, k, 1.0), targets, config)[0]
        for k in range(1, VOCAB + 1)
    ]
    whole, _ = distillation_loss(hidden, mine, Asked(known, its), targets, config)
    values = [loss.item() for loss in losses]
    assert all(a <= b + 1e-9 for a, b in zip(values, values[1:], strict=False))
    assert values[-1] == pytest.approx(whole.item(), abs=1e-9)


# Whole models, in single precision


def question(asked: GPT, k: int, **more: Any) -> Question:
    usual = Question(
        teacher="t", text="x", window=LENGTH, vocab_size=asked.config.vocab_size, top_k=k,
        temperature=1.0,
    )  # fmt: skip
    return replace(usual, **more)


@pytest.mark.parametrize("divergence", KINDS)
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_with_all_tokens_kept_the_loss_is_that_of_asking(divergence, temperature):
    model, teacher, ids = small_model(), small_model(d_model=64).eval(), windows(1)[0]
    config = DistillConfig(divergence=divergence, temperature=temperature)
    asked = question(teacher, teacher.config.vocab_size, temperature=temperature)
    batch = TaughtBatch(ids, *likeliest(teacher, ids, asked))
    found, _ = cached_distillation(asked.vocab_size, config)(model, batch)
    expected, _ = distillation(teacher, config)(model, ids)
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)
    parameters = list(model.parameters())
    gradients = (torch.autograd.grad(loss, parameters) for loss in (found, expected))
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-4)


@pytest.fixture
def text(monkeypatch: pytest.MonkeyPatch) -> Windows:
    """Eleven windows, three in a part."""
    monkeypatch.setattr(teacher_cache, "PART_TOKENS", 3 * LENGTH)
    monkeypatch.setattr(teacher_cache, "AT_ONCE", 2)
    vocab = small_model().config.vocab_size
    ids = np.random.default_rng(0).integers(vocab, size=11 * LENGTH + 1)
    tokens = Tokens([ids.astype("<u2")], np.array([0]), len(ids))
    return Windows(tokens, LENGTH, WindowConfig(seed=3))


def test_a_batch_has_the_windows_and_what_the_teacher_says_of_them(text: Windows, tmp_path: Path):
    teacher = small_model(d_model=64).eval()
    asked = question(teacher, 5)
    cache = TeacherCache(tmp_path / "cache", asked, text)
    assert cache.missing == [0, 1, 2, 3]
    told: list[tuple[int, int]] = []
    cache.fill(teacher, lambda done, total: told.append((done, total)))
    assert told == [(3, 11), (6, 11), (9, 11), (11, 11)] and not cache.missing
    for n in (0, 1, 5):  # the last is of the second epoch
        batch = on_device(cache.batch(n, 4), torch.device("cpu"))
        assert np.array_equal(batch.ids, text.batch(n, 4))
        ids, log_probs = likeliest(teacher, batch.ids, asked)
        assert torch.equal(batch.likeliest, ids)
        torch.testing.assert_close(batch.log_probs, log_probs)
        assert batch.log_probs.shape == (4, LENGTH, 6)
        torch.testing.assert_close(batch.log_probs.exp().sum(-1), torch.ones(4, LENGTH))
    assert cache.batch(0, 4).tokens == 4 * LENGTH


def test_a_filling_that_was_broken_off_goes_on_to_the_same_bits(text: Windows, tmp_path: Path):
    teacher = small_model(d_model=64).eval()
    asked = question(teacher, 5)
    TeacherCache(tmp_path, asked, text).fill(teacher)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    lost = tmp_path / "part-00002.safetensors"
    lost.unlink()
    again = TeacherCache(tmp_path, asked, text)
    assert again.missing == [2]
    again.fill(teacher)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    changed = {p.name for p in tmp_path.iterdir() if p.stat().st_mtime_ns != times[p.name]}
    assert changed == {lost.name}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"teacher": "u"}, "with another teacher"),
        ({"text": "y"}, "with another text"),
        ({"top_k": 6}, "with another top_k"),
        ({"temperature": 2.0, "teacher": "u"}, "with another teacher, another temperature"),
    ],
)
def test_the_cache_of_another_question_is_refused(
    other: dict, said: str, text: Windows, tmp_path: Path
):
    teacher = small_model()
    TeacherCache(tmp_path, question(teacher, 5), text)
    TeacherCache(tmp_path, question(teacher, 5), text)  # the same one is welcome
    with pytest.raises(InputError, match=said) as caught:
        TeacherCache(tmp_path, question(teacher, 5, **other), text)
    assert "--cache" in str(caught.value)


def test_a_cut_part_is_named(text: Windows, tmp_path: Path):
    teacher = small_model()
    cache = TeacherCache(tmp_path, question(teacher, 5), text)
    cache.fill(teacher)
    for part in tmp_path.glob("part-*"):
        part.write_bytes(part.read_bytes()[:-3])
    with pytest.raises(CorruptFileError, match="cannot be read") as caught:
        cache.batch(0, 1)
    assert "part-0000" in str(caught.value)
    (tmp_path / "cache.json").write_text("{")
    with pytest.raises(CorruptFileError, match="no list"):
        TeacherCache(tmp_path, question(teacher, 5), text)
