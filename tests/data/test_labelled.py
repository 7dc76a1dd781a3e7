"""Batches of texts with labels: every text once an epoch, little padding, a pure function of n."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from groundup.data.labelled import LabelledBatches, encode_texts
from groundup.tokenizer.framing import Framing
from groundup.tokenizer.tokenizer import Tokenizer


def batches_of(lengths: list[int], size: int, seed: int = 0) -> LabelledBatches:
    """Text i has `lengths[i]` times the id i + 1, and the label i."""
    ids = [[i + 1] * length for i, length in enumerate(lengths)]
    return LabelledBatches(ids, np.arange(len(ids)), size, seed)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=150), st.integers(1, 9), st.integers(0, 2**63 - 1)
)  # fmt: skip
def test_every_text_comes_once_an_epoch_with_its_label(lengths, size: int, seed: int):
    batches = batches_of(lengths, size, seed)
    for epoch in (0, 3):
        seen = []
        for n in range(epoch * len(batches), (epoch + 1) * len(batches)):
            batch = batches(n)
            assert len(batch.ids) <= size and batch.ids.shape[1] == batch.lengths.max()
            assert batch.tokens == (batch.ids > 0).sum() == batch.lengths.sum()
            for ids, length, label in zip(*batch, strict=True):
                assert ids[:length].tolist() == [label + 1] * lengths[label]
                assert not ids[length:].any()
            seen += batch.labels.tolist()
        assert sorted(seen) == list(range(len(lengths)))


def test_a_batch_is_a_pure_function_of_its_number():
    lengths = np.random.default_rng(0).integers(1, 99, 200).tolist()
    forward, alone = batches_of(lengths, 8), batches_of(lengths, 8)
    given = [forward(n) for n in range(60)]
    for n in (59, 3, 31):
        assert all(np.array_equal(a, b) for a, b in zip(given[n], alone(n), strict=True))
    assert not all(
        np.array_equal(a.labels, b.labels) for a, b in zip(given[:25], given[25:50], strict=True)
    )


def test_similar_lengths_come_together_in_no_order():
    lengths = np.random.default_rng(0).integers(1, 201, 2000).tolist()
    batches = batches_of(lengths, 8)
    epoch = [batches(n) for n in range(len(batches))]
    real = sum(batch.tokens for batch in epoch)
    assert real / sum(batch.ids.size for batch in epoch) > 0.9
    means = [batch.lengths.mean() for batch in epoch]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.15


def test_texts_are_cut_to_the_context_and_counted(tokenizer: Tokenizer):
    texts = ["Mia is in the garden. " * 9, "小明", ""]
    encoded = encode_texts(tokenizer, texts, 20)
    assert [len(ids) for ids in encoded.ids[::2]] == [20, 1] and encoded.cut == 1
    assert encoded.ids[0] == tokenizer.encode(texts[0])[:20]
    assert encoded.ids[2] == [tokenizer.end_of_text_id]
    assert encoded.note == "1 of 3 texts are longer than the context: their ends are cut"
    assert encode_texts(tokenizer, texts, 999).note is None


def test_a_text_begins_as_the_model_wants_it_and_special_tokens_in_it_are_text(tokenizer):
    begin = tokenizer.special_tokens["<|system|>"]
    beginning = Tokenizer(
        tokenizer.vocabulary, tokenizer.special_tokens, framing=Framing(begin_ids=(begin,))
    )
    (ids,), _ = encode_texts(beginning, ["Mia<|endoftext|>"], 99)
    assert ids[0] == begin and tokenizer.end_of_text_id not in ids
    assert tokenizer.decode(ids[1:]) == "Mia<|endoftext|>"
