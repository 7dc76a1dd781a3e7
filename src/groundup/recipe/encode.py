"""The tokenizer stage and the encode stage: a vocabulary, and all text as its ids."""

import json
from collections.abc import Iterator
from typing import Any

from groundup.data.shards import Tokens, open_shards, write_shards
from groundup.files import atomic_directory
from groundup.recipe.directory import RunDirectory
from groundup.recipe.documents import VALIDATION, WORLD, read_index, read_source
from groundup.recipe.schema import Recipe
from groundup.recipe.stages import Stage
from groundup.recipe.watch import Watcher
from groundup.sources.read import Piece
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.directory import load_tokenizer
from groundup.world.documents import spaced


def tokenizer_stage(recipe: Recipe, run: RunDirectory) -> Stage:
    def inputs() -> dict[str, Any]:
        if recipe.tokenizer.path:
            return {"tokenizer": load_tokenizer(recipe.tokenizer.path).fingerprint}
        return {
            "settings": recipe.tokenizer.model_dump(),
            "corpus": read_index(run.corpus)["sources"],
        }

    return Stage(
        "tokenizer",
        "Learning which pieces of text deserve an id of their own: the most frequent neighbours "
        "are joined, again and again.",
        inputs,
        lambda watcher: _tokenizer(recipe, run, watcher).save(run.tokenizer),
        run.tokenizer / "tokenizer_config.json",
    )


def encode_stage(recipe: Recipe, run: RunDirectory) -> Stage:
    def inputs() -> dict[str, Any]:
        return {
            "validation_fraction": recipe.data.validation_fraction,
            "tokenizer": Tokenizer.load(run.tokenizer).fingerprint,
            "corpus": read_index(run.corpus)["sources"],
        }

    return Stage(
        "encode",
        "Writing all text as token ids, a part of it kept aside: the model is judged on text it "
        "has not seen.",
        inputs,
        lambda watcher: encode(recipe, run, watcher),
        run.tokens / "tokens.json",
    )


def encode(recipe: Recipe, run: RunDirectory, watcher: Watcher) -> None:
    """Write the token shards of each source; validation files go with the first."""
    tokenizer = Tokenizer.load(run.tokenizer)
    done = 0

    def advanced(characters: int) -> None:
        nonlocal done
        done += characters
        watcher.advanced(done, None)

    sources = sources_of(run)
    has_validation = VALIDATION in read_index(run.corpus)["sources"]
    with atomic_directory(run.tokens) as folder:
        for i, name in enumerate(sources):
            validation = None
            if has_validation:
                validation = read_source(run.corpus, VALIDATION) if i == 0 else iter(())
            write_shards(
                read_source(run.corpus, name), tokenizer, folder / name, validation,
                recipe.data.validation_fraction, name == WORLD, advanced,
            )  # fmt: skip
        (folder / "tokens.json").write_text(json.dumps({"sources": sources}), encoding="utf-8")


def sources_of(run: RunDirectory) -> list[str]:
    """The names of the sources that are learned from."""
    return [name for name in read_index(run.corpus)["sources"] if name != VALIDATION]


def training_tokens(run: RunDirectory, tokenizer: Tokenizer) -> dict[str, Tokens]:
    """The tokens to learn from, by source."""
    return {name: open_shards(run.tokens / name, "train", tokenizer) for name in sources_of(run)}


def validation_tokens(run: RunDirectory, tokenizer: Tokenizer) -> Tokens:
    """The tokens kept for validation, of all sources together."""
    return Tokens.joined(
        open_shards(run.tokens / name, "validation", tokenizer) for name in sources_of(run)
    )


def _tokenizer(recipe: Recipe, run: RunDirectory, watcher: Watcher) -> Tokenizer:
    config = recipe.tokenizer
    if config.path:
        return load_tokenizer(config.path)
    return Tokenizer.train_from_iterator(
        _texts(run), config.vocab_size, config.special_tokens, config.kind, watcher.advanced
    )


def _texts(run: RunDirectory) -> Iterator[str]:
    for name in sources_of(run):
        pieces: Iterator[Piece] = read_source(run.corpus, name)
        for piece in pieces:
            yield spaced(piece.text) if name == WORLD else piece.text
