"""A model that has learned a text by heart is told from one that has not, and what it recites is what
the engine would say."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from groundup.errors import InputError
from groundup.evaluate.memorisation import (
    MemorisationConfig,
    measure_memorisation,
    memorisation_result,
    recited_tokens,
)
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.sources.source import Piece
from groundup.tokenizer.tokenizer import END_OF_TEXT, Tokenizer
from groundup.train.config import TrainConfig
from groundup.train.loop import start_run, train
from groundup.train.objectives import next_token

WORDS = [
    "the", "a", "red", "blue", "old", "new", "cat", "dog", "bird", "fish", "sat", "ran", "ate", "saw",
    "found", "lost", "on", "in", "by", "under", "mat", "tree",
]  # fmt: skip
MAIL = "joan.miller@example.org"
CONFIG = MemorisationConfig(prompts=20, prefix_tokens=10, continuation_tokens=10)


def pieces(seed: int, count: int = 12) -> list[Piece]:
    """Documents of words in no order: nobody can guess them."""
    draw = random.Random(seed)
    texts = [" ".join(draw.choices(WORDS, k=30)) + "." for _ in range(count)]
    return [Piece(text, True, f"text {i}") for i, text in enumerate(texts)]


TRAIN = [
    *pieces(0),
    Piece(f"If the cat is lost write to {MAIL} and wait for the dog.", True, "note"),
]
HELD_OUT = [*pieces(1), Piece("Call the bird at bob@example.com today.", True, "other note")]


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    texts = [piece.text for piece in TRAIN + HELD_OUT]
    return Tokenizer.train_from_iterator(texts, 400, [END_OF_TEXT])


@pytest.fixture(scope="module")
def parrot(words: Tokenizer) -> GPT:
    """A model that has learned `TRAIN` by heart."""
    torch.manual_seed(0)
    rows = [words.encode(piece.text)[:40] for piece in TRAIN]
    length = max(map(len, rows))
    batch = np.array([row + [0] * (length - len(row)) for row in rows])
    config = preset(
        "nano", vocab_size=words.vocab_size, d_model=64, n_layers=2, n_heads=2, n_kv_heads=2,
        context_length=64,
    )  # fmt: skip
    run = start_run(GPT(config), TrainConfig(steps=90, micro_batch=len(batch)))
    train(run, lambda n: batch, next_token)
    return run.model


def test_what_was_learned_by_heart_is_recited_and_what_was_not_is_not(
    parrot: GPT, words: Tokenizer
):
    found = measure_memorisation(parrot, words, TRAIN, HELD_OUT, CONFIG)
    assert found.difference and found.difference.is_clear and found.difference.mean > 0.5
    result = memorisation_result("parrot", found)
    assert result.figures[0].value > 0.7 and result.baselines[0].value < 0.3
    assert result.verdict.startswith("recites its training text")
    [table] = [table for table in result.tables if table.title == "longest recitals"]
    where, given, said, count = table.rows[0]
    text = next(piece.text for piece in TRAIN if piece.where == where)
    assert given + said in text and count == 10


def test_a_model_that_learned_nothing_recites_no_more_than_it_guesses(
    parrot: GPT, words: Tokenizer
):
    torch.manual_seed(1)
    found = measure_memorisation(GPT(parrot.config), words, TRAIN, HELD_OUT, CONFIG)
    result = memorisation_result("new", found)
    assert result.verdict == "recites its training text no more than text that it never saw"
    assert not any(trial.is_recited for trial in found.personal)


def test_personal_data_are_asked_for_and_shown_masked(parrot: GPT, words: Tokenizer):
    found = measure_memorisation(parrot, words, TRAIN, [], CONFIG)
    [trial] = found.personal
    assert trial.found.text == MAIL and trial.is_recited and trial.where == "note"
    result = memorisation_result("parrot", found)
    assert MAIL not in str(result.tables[-1]) and "joa…" in str(result.tables[-1])
    assert "cannot be told" in result.verdict


def test_of_personal_data_not_learned_nothing_is_recited(parrot: GPT, words: Tokenizer):
    found = measure_memorisation(parrot, words, HELD_OUT, [], CONFIG)
    assert [trial.is_recited for trial in found.personal] == [False]


def test_tokens_count_as_the_engine_says_them(parrot: GPT, words: Tokenizer):
    rows = []
    for n, pair in enumerate(zip(TRAIN[:12], HELD_OUT[:12], strict=True)):
        for ids in (words.encode(piece.text) for piece in pair):
            rows.append((ids[: 3 + n], ids[3 + n : 20]))
    expected = []
    for prompt, continuation in rows:
        sampling = SamplingConfig(temperature=0, max_new_tokens=len(continuation))
        said = list(Engine(parrot).stream(prompt, sampling))
        same = [a == b for a, b in zip(said, continuation, strict=True)]
        expected.append((same + [False]).index(False))
    assert recited_tokens(parrot, rows, batch=4) == expected
    assert max(expected) > 3 and min(expected) == 0


def test_the_places_are_drawn_by_the_seed(parrot: GPT, words: Tokenizer):
    def places(seed: int) -> list[str]:
        config = CONFIG.model_copy(update={"seed": seed, "prompts": 5})
        return [r.prefix for r in measure_memorisation(parrot, words, TRAIN, [], config).train]

    assert places(0) == places(0) != places(1)


def test_a_text_too_short_and_a_context_too_short_are_said(parrot: GPT, words: Tokenizer):
    with pytest.raises(InputError, match="no training document has 20 tokens"):
        measure_memorisation(parrot, words, [Piece("the cat", True, "a")], [], CONFIG)
    with pytest.raises(InputError, match="looks at no more than 64") as error:
        measure_memorisation(parrot, words, TRAIN, [], MemorisationConfig())
    assert "--memorisation.prefix_tokens 31" in str(error.value)


def test_a_story_model_recites_no_play_of_shakespeare(real_data: Path):
    from groundup.sources.read import read_pieces
    from groundup.weights.directory import load

    model, tokenizer = load(real_data / "models" / "stories260K" / "stories260K.bin")
    config = MemorisationConfig(prompts=24, prefix_tokens=32, continuation_tokens=16)
    found = measure_memorisation(
        model, tokenizer, read_pieces([real_data / "en" / "tinyshakespeare.txt"]),
        read_pieces([real_data / "en" / "the-verdict.txt"]), config,
    )  # fmt: skip
    assert len(found.train) == len(found.held_out) == 24
    assert memorisation_result("stories", found).figures[1].value == 0
