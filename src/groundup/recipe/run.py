"""The stages of a recipe, one after another: tokenizer → data → pretraining → evaluation."""

import contextlib
import importlib.util
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from groundup.data.shards import open_shards, write_shards
from groundup.data.windows import evaluation_windows
from groundup.errors import InputError
from groundup.evaluate.language import LanguageScore, score_language
from groundup.model.gpt import GPT
from groundup.recipe.pretrain import Extra, Pretrained, pretrain
from groundup.recipe.report import write_report
from groundup.recipe.schema import DataConfig, Recipe, write_recipe
from groundup.recipe.watch import Watcher
from groundup.sources.read import Piece, read_pieces
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.world.documents import spaced, training_documents


@dataclass
class Finished:
    """What a run has made, and how long each stage took."""

    tokenizer: Tokenizer
    pretrained: Pretrained
    report: Path
    seconds: dict[str, float] = field(default_factory=dict)
    scores: dict[str, LanguageScore] = field(default_factory=dict)


def run_recipe(
    recipe: Recipe,
    out: Path,
    resume: bool,
    watcher: Watcher,
    begin_from: GPT | None = None,
    extra_evaluation: Extra | None = None,
) -> Finished:
    """Carry out `recipe` in the run directory `out`. With `resume`, what an interrupted run has
    finished stays, and training goes on from its last checkpoint."""
    seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(name: str, title: str, why: str) -> Iterator[None]:
        watcher.stage(title, why)
        began = time.perf_counter()
        yield
        seconds[name] = time.perf_counter() - began

    with stage("tokenizer", "Tokenizer", "Learning which pieces of text deserve an id of their "
               "own: the most frequent neighbours are joined, again and again."):  # fmt: skip
        tokenizer = _tokenizer(recipe, out, resume, watcher)
    with stage("data", "Data", "Writing all text as token ids, a part of it kept aside: the model "
               "is judged on text it has not seen."):  # fmt: skip
        _prepare_data(recipe.data, tokenizer, out / "data", resume, watcher)
    write_recipe(recipe, out / "recipe.toml")
    with stage("pretrain", "Pretraining", "Guessing the next token, being told it, and moving "
               "every weight a little so that the guess improves."):  # fmt: skip
        pretrained = pretrain(
            recipe.pretrain, tokenizer, out / "data", out / "pretrain", resume, watcher,
            begin_from, extra_evaluation,
        )  # fmt: skip
    with stage("evaluate", "Evaluation", "Measuring the finished model."):
        scores = {
            path: score_file(pretrained.model, tokenizer, path) for path in recipe.evaluate.text
        }
    report = write_report(recipe, out, seconds, scores)
    return Finished(tokenizer, pretrained, report, seconds, scores)


def score_file(model: GPT, tokenizer: Tokenizer, path: str) -> LanguageScore:
    """Loss and bits per byte of a file's text under a model."""
    with tempfile.TemporaryDirectory() as folder:
        write_shards([], tokenizer, Path(folder) / "data", read_pieces([path]))
        tokens = open_shards(Path(folder) / "data", "validation")
        windows = evaluation_windows(tokens, model.config.context_length)
        return score_language(model, windows, tokens.bytes_per_token)


def pieces_of(data: DataConfig) -> Iterator[Piece]:
    """The documents that a recipe's data names."""
    if data.paths:
        return read_pieces(data.paths, data.text_field)
    if data.world_documents:
        documents = training_documents(0, data.world_documents)
        return (Piece(document.text, True, "sample world") for document in documents)
    if data.package:
        return read_pieces(_files_of_package(data.package))
    raise InputError("no text to train on", "data.paths", "name files or folders with --data")


def _tokenizer(recipe: Recipe, out: Path, resume: bool, watcher: Watcher) -> Tokenizer:
    """The recipe's existing tokenizer, the one of an interrupted run, or a new one."""
    if recipe.tokenizer.path:
        return Tokenizer.load(recipe.tokenizer.path)
    directory = out / "tokenizer"
    if resume and (directory / "tokenizer_config.json").is_file():
        return Tokenizer.load(directory)
    config = recipe.tokenizer
    texts = (piece.text for piece in pieces_of(recipe.data))
    if not recipe.data.paths and recipe.data.world_documents:
        texts = map(spaced, texts)
    tokenizer = Tokenizer.train_from_iterator(
        texts, config.vocab_size, config.special_tokens, config.kind, watcher.advanced
    )
    tokenizer.save(directory)
    return tokenizer


def _prepare_data(
    data: DataConfig, tokenizer: Tokenizer, directory: Path, resume: bool, watcher: Watcher
) -> None:
    if resume and (directory / "shards.json").is_file():
        return
    done = 0

    def advanced(characters: int) -> None:
        nonlocal done
        done += characters
        watcher.advanced(done, None)

    validation = read_pieces(data.validation, data.text_field) if data.validation else None
    write_shards(
        pieces_of(data), tokenizer, directory, validation, data.validation_fraction,
        allow_special=not data.paths and bool(data.world_documents), progress=advanced,
    )  # fmt: skip


def _files_of_package(name: str) -> list[str | Path]:
    """The Markdown files of an installed package: text that pip brought."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise InputError(
            f"the package {name!r}, which holds this recipe's text, is not installed", None,
            f"pip install {name}, or give your own text with --data",
        )  # fmt: skip
    folder = Path(found.submodule_search_locations[0])
    return sorted(folder.rglob("*.md"))
