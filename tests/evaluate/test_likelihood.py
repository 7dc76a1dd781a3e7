"""Windows score each token once, with as much before it as they promise; batches score as each alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import InputError
from groundup.evaluate.likelihood import (
    Likelihood,
    Window,
    score_windows,
    sliding_windows,
)
from groundup.model.gpt import GPT
from groundup.model.presets import preset


@given(
    st.integers(2, 90), st.integers(1, 20), st.integers(4, 30), st.integers(1, 30), st.booleans()
)
def test_each_token_is_scored_once_after_as_many_as_the_stride_leaves(
    count, given, context, stride, begins
):
    given, stride = min(given, count - 1), min(stride, context)
    ids, begin = list(range(count)), [1000] if begins else []
    windows = list(sliding_windows(ids, given, context, stride, begin))
    assert [id_ for window in windows for id_ in window.ids[-window.scored :]] == ids[given:]
    for window in windows:
        assert len(window.ids) <= context + 1 and list(window.ids[: len(begin)]) == begin
        scored = window.ids[-window.scored]
        before = len(window.ids) - window.scored - len(begin)
        assert before >= min(scored, context - len(begin) - stride + 1)
    assert windows[0].cut == (windows[0].ids[len(begin)] if windows else 0)


def test_the_layout_is_that_of_lm_evaluation_harness():
    utils = pytest.importorskip("lm_eval.utils")
    for count, length, stride in [(5, 8, 8), (23, 8, 8), (100, 9, 4), (9, 8, 3), (64, 8, 1)]:
        theirs = utils.get_rolling_token_windows(
            token_list=list(range(count)), prefix_token=-1, max_seq_len=length,
            context_len=length - stride + 1,
        )  # fmt: skip
        expected = [((*inputs, targets[-1]), len(targets)) for inputs, targets in theirs]
        windows = sliding_windows([-1, *range(count)], 1, length, stride)
        assert [(window.ids, window.scored) for window in windows] == expected


def test_a_stride_longer_than_a_window_is_refused_with_the_longest():
    with pytest.raises(InputError, match="use 8"):
        list(sliding_windows(range(20), 1, 8, 9))


@torch.inference_mode()
def one_by_one(model: GPT, window: Window) -> Likelihood:
    """The likelihood of a window, token by token."""
    nats, is_greedy = 0.0, True
    for at in range(len(window.ids) - window.scored, len(window.ids)):
        logits = model(torch.tensor([window.ids[:at]]))[0, -1]
        nats -= logits.double().log_softmax(-1)[window.ids[at]].item()
        is_greedy &= int(logits.argmax()) == window.ids[at]
    return Likelihood(nats, window.scored, is_greedy)


KINDS = {
    "plain": {},
    "experts": {"experts": {"count": 4, "active": 2}},
    "memory": {"layer_pattern": ["linear", "full"]},
    "soft cap and window": {"logit_softcap": 3.0, "layer_pattern": ["window"], "window": 4},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_many_lengths_is_scored_as_each_token_alone(kind: str):
    torch.manual_seed(0)
    config = preset(
        "nano", vocab_size=50, d_model=32, n_layers=2, n_heads=4, n_kv_heads=2, context_length=24,
        initialization="gpt-2", **KINDS[kind],
    )  # fmt: skip
    model = GPT(config).train()
    question = tuple(torch.randint(0, 50, (12,)).tolist())
    windows = [Window((*question, letter), 1) for letter in range(4)]
    for length, scored in [(2, 1), (7, 3), (24, 23), (25, 5)]:
        windows.append(Window(tuple(torch.randint(0, 50, (length,)).tolist()), scored))
    scored = score_windows(model, windows)
    assert model.training
    model.eval()
    with torch.inference_mode():
        likeliest = int(model(torch.tensor([question]))[0, -1].argmax())
    said = score_windows(model, [Window((*question, likeliest), 1)])
    assert said[0].is_greedy
    for likelihood, window in zip(scored, windows, strict=True):
        alone = one_by_one(model, window)
        assert likelihood.nats == pytest.approx(alone.nats, abs=1e-4)
        assert likelihood[1:] == alone[1:]
