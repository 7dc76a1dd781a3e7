"""Near-duplicates: planted copies are found, real texts are left alone, memory stays bounded."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.cleaning.near_duplicates import Duplicate, NearDuplicates, near_duplicates
from groundup.cleaning.sketch import SKETCH_SIZE, Shingles, sketch
from groundup.cleaning.step import Record
from groundup.sources.read import Piece
from tests.cleaning.planted import documents, planted

LETTERS = "abcdefghijklmnopqrstuvwxyz      的一是不了在人有我他这中大来上个国"


def random_text(rng: random.Random, length: int = 200) -> str:
    return "".join(rng.choices(LETTERS, k=length))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_planted_copies_are_found_and_little_else(language: str, real_data: Path):
    texts = documents(real_data, language, 1500)
    natural = {found.text for found in near_duplicates(texts, similarity=0.75)}
    texts = [text for index, text in enumerate(texts) if index not in natural]
    sample = planted(texts, copies=300)
    found = list(near_duplicates(sample.texts))
    right = [each for each in found if sample.family[each.text] == sample.family[each.copy_of]]
    assert len(right) >= 0.95 * len(found)
    assert len(right) >= 0.90 * 300


def test_a_copy_is_of_an_earlier_text_that_stays():
    rng = random.Random(0)
    text = random_text(rng, 300)
    # Each is near the one before it, and ever farther from the first.
    chain = [text[: 15 * i] + "口" * 15 * i + text[30 * i :] for i in range(8)]
    found = list(near_duplicates(chain))
    dropped = {each.text for each in found}
    assert found and 0 not in dropped
    for each in found:
        assert each.copy_of < each.text and each.copy_of not in dropped
        assert each.similarity >= 0.8
    assert len(chain) - 1 not in {each.text for each in found if each.copy_of == 0}


@settings(deadline=None, max_examples=15)
@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=10), st.randoms())
def test_identical_texts_are_always_found(texts: list[str], rng: random.Random):
    rows = texts * 2
    rng.shuffle(rows)
    dropped = {each.text for each in near_duplicates(rows)}
    kept = [text for index, text in enumerate(rows) if index not in dropped]
    # A text without letters or digits says nothing, and stays.
    kept = [text for text in kept if sketch([text]).letters[0]]
    assert len(kept) == len(set(kept))


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32))
def test_order_does_not_matter_for_what_is_found(seed: int):
    rng = random.Random(seed)
    texts = [random_text(rng) for _ in range(20)]
    rows = texts + [text[:90] + random_text(rng, 10) + text[100:] for text in texts[:10]]
    rng.shuffle(rows)
    assert len(list(near_duplicates(rows))) == 10


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32), st.integers(20, 400))
def test_a_text_far_from_all_others_is_never_dropped(seed: int, length: int):
    rng = random.Random(seed)
    assert list(near_duplicates(random_text(rng, length) for _ in range(30))) == []


def test_short_texts_are_copies_only_if_their_letters_are_the_same():
    texts = [
        "OK, see you!",
        "ok see you",
        "ok see me",
        "好的，明天见。",
        "好的 明天见",
        "好的，后天见。",
    ]
    assert list(near_duplicates(texts)) == [Duplicate(1, 0, 1.0), Duplicate(4, 3, 1.0)]


def test_a_thousand_copies_of_one_text_are_one_text():
    rng = random.Random(0)
    text = random_text(rng)
    copies = [text[:i] + "口" + text[i + 1 :] for i in range(180)] * 5
    assert len(list(near_duplicates([text, *copies]))) == len(copies)


def test_no_texts_and_empty_texts_are_no_copies():
    assert list(near_duplicates([])) == []
    assert list(near_duplicates(["", "", "...", "...", " "])) == []


def test_the_sketch_estimates_what_minhash_estimates(real_data: Path):
    rng = random.Random(0)
    text = (real_data / "en/tinyshakespeare.txt").read_text()[:6000]
    edited = "".join("x" if rng.random() < 0.03 else character for character in text)
    sketches = sketch([text, edited])
    of_each = [sketches.hash[sketches.text == index][2:] for index in (0, 1)]
    union = np.sort(np.unique(np.concatenate(of_each)))[:SKETCH_SIZE]
    ours = np.isin(union, of_each[0]) & np.isin(union, of_each[1])
    long = Shingles([text, edited]).long()
    minhashes = [MinHash(num_perm=512, hashfunc=int) for _ in range(2)]
    for index, minhash in enumerate(minhashes):
        minhash.update_batch((long.hash[long.text == index] >> np.uint64(6)).tolist())
    assert abs(ours.mean() - minhashes[0].jaccard(minhashes[1])) < 0.12


def test_the_step_leaves_copies_out_and_keeps_every_document_a_beginning():
    rng = random.Random(0)
    one, two, three = (random_text(rng) for _ in range(3))
    pieces = [
        Piece(one, True, "a"),
        Piece(one + "!", True, "b"),
        Piece(two, False, "b"),
        Piece(three, True, "c"),
    ]
    record = Record("near_duplicates")
    kept = list(NearDuplicates().apply(iter(pieces), record))
    assert kept == [Piece(one, True, "a"), Piece(two, True, "b"), Piece(three, True, "c")]
    assert record.removed.characters == 201
    assert [example.where for example in record.examples] == ["b"]


MEASURE = """
import random, resource
from groundup.cleaning.near_duplicates import near_duplicates

def texts():
    rng = random.Random(0)
    for i in range({count}):
        yield "".join(chr(97 + byte % 26) for byte in rng.randbytes(500))

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

list(near_duplicates(texts()))
print(peak())
"""


def test_memory_does_not_grow_with_the_texts():
    peaks = []
    for count in (6_000, 24_000):
        program = MEASURE.format(count=count)
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
        peaks.append(int(run.stdout))
    # Nine million characters more take a few bytes for each text more.
    assert peaks[1] - peaks[0] < 30_000_000
