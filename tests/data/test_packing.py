"""Examples in rows: none is lost or torn apart, none sees or predicts another."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.data.packing import (
    PADDING,
    Example,
    PackedBatches,
    PackedRows,
    fit,
    pack,
)
from groundup.data.shards import Tokens
from groundup.data.windows import WindowConfig, Windows
from groundup.errors import InputError

CONTEXT = 15


def example(prompt: int, answer: int, first: int = 1) -> Example:
    """Ids that count up from `first`: a prompt, then an answer."""
    ids = np.arange(first, first + prompt + answer, dtype=np.int32)
    return Example(ids, np.arange(prompt + answer) >= prompt)


LENGTHS = st.lists(st.integers(1, 16), min_size=1, max_size=40)


@given(LENGTHS)
def test_packing_puts_every_example_into_one_row_with_room_for_it(lengths: list[int]):
    rows = pack(lengths, 16)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    filled = [sum(lengths[i] for i in row) for row in rows]
    assert max(filled) <= 16
    # No two rows could be one, and there are hardly more rows than there must be.
    assert sum(sorted(filled)[:2]) > 16 or len(rows) == 1
    assert len(rows) <= 11 / 9 * int(np.ceil(sum(lengths) / 16)) * 2


@given(LENGTHS, st.integers(0, 3))
def test_an_epoch_has_every_example_once_and_targets_never_cross(lengths: list[int], epoch: int):
    examples = [example(1, n, 100 * i) for i, n in enumerate(lengths, start=1) if n < 16]
    rows = PackedRows([*examples, example(1, 1)], CONTEXT, seed=3)
    seen: list[int] = []
    for n in range(epoch * len(rows), (epoch + 1) * len(rows)):
        ids, weights, segments = (part[0] for part in rows[n])
        learned = weights > 0
        assert (segments[1:] == segments[:-1])[learned].all() and (segments[1:] >= 0)[learned].all()
        assert (ids[1:] == ids[:-1] + 1)[learned].all()
        seen += ids[1:][learned].tolist()
        assert rows[n].tokens == (segments[1:] != PADDING).sum()
    assert sorted(seen) == sorted([2, *(int(i) for one in examples for i in one.ids[one.spoken])])


def test_rows_are_in_a_new_order_in_each_epoch_and_the_same_for_the_same_seed():
    examples = [example(5, 8, 100 * i) for i in range(20)]
    rows, again = PackedRows(examples, CONTEXT, seed=1), PackedRows(examples, CONTEXT, seed=1)
    epochs = [[int(rows[n].ids[0, 0]) for n in range(start, start + 20)] for start in (0, 20)]
    assert epochs[0] != epochs[1] and sorted(epochs[0]) == sorted(epochs[1])
    assert epochs[0] == [int(again[n].ids[0, 0]) for n in range(20)]
    assert epochs[0] != [int(PackedRows(examples, CONTEXT, seed=2)[n].ids[0, 0]) for n in range(20)]


@pytest.mark.parametrize(
    ("prompt", "answer", "kept_prompt", "kept_answer"),
    [
        (6, 10, 6, 10),  # fits
        (20, 4, 12, 4),  # a long prompt has what the answer leaves
        (20, 14, 8, 8),  # and half at least
        (4, 20, 4, 12),  # a long answer has what the prompt leaves
        (0, 20, 0, 16),
    ],
)
def test_long_prompts_are_cut_at_their_beginning_and_long_texts_at_their_end(
    prompt: int, answer: int, kept_prompt: int, kept_answer: int
):
    [cut], cuts = fit([example(prompt, answer)], CONTEXT)
    assert cut.spoken.tolist() == [False] * kept_prompt + [True] * kept_answer
    assert cut.ids[0] == 1 + prompt - kept_prompt
    assert (cuts.prompts, cuts.prompt_tokens) == (prompt > kept_prompt, prompt - kept_prompt)
    assert (cuts.answers, cuts.answer_tokens) == (answer > kept_answer, answer - kept_answer)


def test_what_is_cut_and_left_out_is_said():
    nothing = Example(np.arange(4, dtype=np.int32), np.zeros(4, bool))
    kept, cuts = fit([example(2, 3), nothing, example(40, 3), example(2, 40)], CONTEXT)
    assert len(kept) == 3 and cuts.left_out == 1
    assert str(cuts) == (
        "1 prompts were cut at their beginning, by 27 tokens; 1 texts were cut at their end, by 26 "
        "tokens; 1 examples are left out, as no answer is left of them"
    )
    assert str(fit([example(2, 3)], CONTEXT)[1]) == ""


def test_general_text_is_drawn_in_its_share_and_all_of_it_counts():
    rows = PackedRows([example(5, 5, 1000 + 100 * i) for i in range(7)], CONTEXT)
    text = Windows(Tokens([np.arange(300)], np.array([0]), 300), CONTEXT, WindowConfig())
    batches = PackedBatches(rows, 4, text, replay_share=0.25)
    general = [(n, row) for n in range(20) for row in range(4) if batches(n).weights[row].all()]
    assert len(general) == 20
    for n, row in general:
        ids, _, segments = (part[row] for part in batches(n))
        assert (np.diff(ids) == 1).all() and (segments == 0).all() and ids.max() < 300
    alone = PackedBatches(rows, 4)
    assert all(not alone(n).weights.all(axis=1).any() for n in range(20))
    assert batches(3).ids.tolist() == batches(3).ids.tolist()


def test_nothing_to_learn_from_and_too_long_an_example_are_refused():
    with pytest.raises(InputError, match="no examples"):
        PackedRows([], CONTEXT)
    with pytest.raises(InputError, match="17 tokens does not fit into a row of 16"):
        PackedRows([example(2, 15)], CONTEXT)
