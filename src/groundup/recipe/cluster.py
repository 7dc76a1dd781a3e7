"""Preparing data on many machines: the steps read → clean → tokenise for datatrove's executors.

datatrove (https://github.com/huggingface/datatrove, the extra `groundup[cluster]`) starts the same
pipeline many times, on one machine or under Slurm, and tells each its `rank` among `world_size`.
Every rank takes its part of the files and writes a data directory of its own; `join_ranks` makes them
one, when all have ended:

>>> from datatrove.executor import LocalPipelineExecutor  # doctest: +SKIP
>>> steps = pipeline(["corpus"], "tokenizer", "parts")  # doctest: +SKIP
>>> LocalPipelineExecutor(steps, tasks=64, logging_dir="logs").run()  # doctest: +SKIP
>>> join_ranks("parts", 64, "data")  # doctest: +SKIP

The result holds the same documents as one process would write, in another order. (Only a corpus of a
single text differs: one process cuts it in two, here it goes whole to training or validation.)
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from groundup.cleaning.clean import clean
from groundup.cleaning.step import Step
from groundup.data.joining import join_shards
from groundup.data.shards import write_routed
from groundup.data.splitting import split_by_checksum
from groundup.errors import InputError
from groundup.files import atomic_directory
from groundup.recipe.documents import sources
from groundup.recipe.schema import DataConfig
from groundup.sources.read import Piece, read_pieces
from groundup.tokenizer.tokenizer import Tokenizer

try:
    from datatrove.data import Document
    from datatrove.pipeline.base import PipelineStep
except ImportError:
    raise InputError(
        "preparing data on a cluster needs datatrove, which is not installed", None,
        "pip install 'groundup[cluster]'",
    ) from None  # fmt: skip

Documents = Iterable[Document] | None
PieceStep = Callable[[Iterator[Piece]], Iterator[Piece]]


def pipeline(
    paths: Sequence[str | Path],
    tokenizer: Path | str,
    out: Path | str,
    steps: Sequence[PieceStep] = (),
    text_field: str | None = None,
    validation_fraction: float = 0.1,
) -> list[PipelineStep]:
    """The steps for one of datatrove's executors: read `paths`, apply `steps` in order, and write
    each rank's token shards to a folder in `out`, encoded with the tokenizer of a directory.

    Paths must mean the same on every machine. datatrove sends the steps to its processes, so `steps`
    must be what `dill` can send: functions and objects of modules, without open files.
    """
    return [
        ReadPieces(paths, text_field),
        *map(ApplyToPieces, steps),
        WriteShards(tokenizer, out, validation_fraction),
    ]


def pipeline_of(data: DataConfig, tokenizer: Path | str, out: Path | str) -> list[PipelineStep]:
    """`pipeline` for the data section of a recipe: the same files, cleaned by the same steps. What
    compares documents (duplicates, boilerplate) then sees those of one rank."""
    paths = [path for source in sources(data) for path in source.paths]
    return pipeline(
        paths, tokenizer, out, [partial(_clean, data.clean)], data.text_field,
        data.validation_fraction,
    )  # fmt: skip


def _clean(steps: Sequence[Step], pieces: Iterator[Piece]) -> Iterator[Piece]:
    return clean(pieces, steps)[0]


def join_ranks(out: Path | str, ranks: int, directory: Path | str) -> None:
    """Make the parts that all ranks wrote to `out` one data directory. Raises `InputError` if a rank
    has not written its part."""
    join_shards([_folder(out, rank) for rank in range(ranks)], directory)


class ReadPieces(PipelineStep):
    """Reads every `world_size`-th file, beginning with the `rank`-th."""

    type, name = "📖 - READER", "groundup sources"

    def __init__(self, paths: Sequence[str | Path], text_field: str | None = None):
        super().__init__()
        self.paths, self.text_field = paths, text_field

    def run(self, data: Documents, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        yield from data or ()
        for piece in read_pieces(self.paths, self.text_field, share=(rank, world_size)):
            document = _document(piece)
            self.update_doc_stats(document)
            yield document


class ApplyToPieces(PipelineStep):
    """Applies a function from pieces to pieces: a filter, a repair, anything that streams."""

    type = "🔻 - FILTER"

    def __init__(self, function: PieceStep):
        self.name = getattr(function, "__name__", type(function).__name__)
        super().__init__()
        self.function = function

    def run(self, data: Documents, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        for piece in self.function(_pieces(data or ())):
            document = _document(piece)
            self.update_doc_stats(document)
            yield document


class WriteShards(PipelineStep):
    """Writes a rank's documents as a data directory, whole or not at all."""

    type, name = "🔢 - TOKENIZER", "groundup shards"

    def __init__(self, tokenizer: Path | str, out: Path | str, validation_fraction: float):
        super().__init__()
        self.tokenizer, self.out = tokenizer, out
        self.validation_fraction = validation_fraction

    def run(self, data: Documents, rank: int = 0, world_size: int = 1) -> None:
        routed = split_by_checksum(_pieces(data or ()), self.validation_fraction)
        with atomic_directory(_folder(self.out, rank)) as folder:
            write_routed(routed, Tokenizer.load(self.tokenizer), folder)


def _folder(out: Path | str, rank: int) -> Path:
    return Path(out) / f"rank-{rank:05d}"


def _document(piece: Piece) -> Document:
    """A piece as datatrove carries it. (Its own filters can stand between ours, and then judge long
    documents piece by piece.)"""
    return Document(piece.text, piece.where, metadata={"starts_document": piece.starts_document})


def _pieces(documents: Iterable[Document]) -> Iterator[Piece]:
    """The pieces in datatrove's documents; what another reader read is whole documents."""
    for document in documents:
        starts_document = document.metadata.get("starts_document", True)
        yield Piece(document.text, starts_document, document.id)
