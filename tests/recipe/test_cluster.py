"""The pipeline through datatrove's local executor: the same data as one process makes."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from datatrove.executor import LocalPipelineExecutor

from groundup.cleaning.clean import clean
from groundup.data.joining import join_shards
from groundup.data.shards import SPLITS, open_shards, write_shards
from groundup.errors import InputError
from groundup.recipe.cluster import join_ranks, pipeline, pipeline_of
from groundup.recipe.schema import DataConfig
from groundup.sources.read import Piece, read_pieces
from groundup.tokenizer.tokenizer import Tokenizer

TASKS = 3


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Rows and texts in English and Chinese, in more files than there are ranks."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(4):
        rows = [{"text": f"Document {i} of file {number}. 第{i}篇。"} for i in range(25)]
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (folder / f"rows-{number}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        (folder / f"text-{number}.txt").write_text(f"A text {number}\n一篇文章\n", encoding="utf-8")
    long = "".join(f"Line {i} of a long text, 很长的文章。\n" for i in range(60_000))
    (folder / "long.txt").write_text(long, encoding="utf-8")
    return folder


def without_sevens(pieces: Iterator[Piece]) -> Iterator[Piece]:
    for piece in pieces:
        if "Document 7 " not in piece.text:
            yield replace(piece, text=piece.text.replace("第", "No. "))


def run(steps: list, tmp_path: Path) -> None:
    LocalPipelineExecutor(steps, TASKS, 1, str(tmp_path / "logs")).run()


def documents(directory: Path, split: str, tokenizer: Tokenizer) -> Counter[tuple[int, ...]]:
    tokens = open_shards(directory, split, tokenizer)
    borders = [*tokens.document_starts.tolist(), len(tokens)]
    return Counter(tuple(tokens.read(start, end).tolist()) for start, end in pairwise(borders))


@pytest.mark.parametrize("steps", [(), (without_sevens,)], ids=["as it is", "cleaned"])
def test_ranks_together_make_what_one_process_makes(steps, corpus, tokenizer, tmp_path: Path):
    tokenizer.save(tmp_path / "tokenizer")
    run(pipeline([corpus], tmp_path / "tokenizer", tmp_path / "parts", steps), tmp_path)
    join_ranks(tmp_path / "parts", TASKS, tmp_path / "joined")

    pieces = read_pieces([corpus])
    for step in steps:
        pieces = step(pieces)
    write_shards(pieces, tokenizer, tmp_path / "alone")
    for split in SPLITS:
        alone = documents(tmp_path / "alone", split, tokenizer)
        assert documents(tmp_path / "joined", split, tokenizer) == alone
        assert len(alone) > 5
    described = [
        json.loads((tmp_path / name / "shards.json").read_text()) for name in ("alone", "joined")
    ]
    for described_split in zip(*(d["splits"].values() for d in described), strict=True):
        one, other = [{k: v for k, v in split.items() if k != "files"} for split in described_split]
        assert one == other


def test_a_recipes_data_section_is_the_pipeline(corpus: Path, tokenizer, tmp_path: Path):
    data = DataConfig.parse({"paths": [str(corpus)], "clean": [{"step": "length", "fewest": 24}]})
    tokenizer.save(tmp_path / "tokenizer")
    run(pipeline_of(data, tmp_path / "tokenizer", tmp_path / "parts"), tmp_path)
    join_ranks(tmp_path / "parts", TASKS, tmp_path / "joined")
    write_shards(clean(read_pieces([corpus]), data.clean)[0], tokenizer, tmp_path / "alone")
    for split in SPLITS:
        alone = documents(tmp_path / "alone", split, tokenizer)
        assert documents(tmp_path / "joined", split, tokenizer) == alone


def test_a_rank_without_files_writes_an_empty_part(tokenizer, tmp_path: Path, story: Path):
    tokenizer.save(tmp_path / "tokenizer")
    run(pipeline([story], tmp_path / "tokenizer", tmp_path / "parts"), tmp_path)
    join_ranks(tmp_path / "parts", TASKS, tmp_path / "joined")
    found = sum((documents(tmp_path / "joined", s, tokenizer) for s in SPLITS), Counter())
    assert [tokenizer.decode(ids) for ids in found] == [story.read_text() + "<|endoftext|>"]


def test_joined_shards_are_linked_and_the_parts_stay(tokenizer, tmp_path: Path):
    parts = [tmp_path / "a", tmp_path / "b"]
    for part in parts:
        write_shards([], tokenizer, part, [Piece(f"text {part.name}", True, "memory")])
    join_shards(parts, tmp_path / "joined")
    for number, part in enumerate(parts):
        joined = tmp_path / f"joined/validation-{number:05d}.bin"
        assert joined.samefile(part / "validation-00000.bin")
        open_shards(part, "validation", tokenizer)


def test_parts_that_do_not_belong_together_are_refused(tokenizer, tmp_path: Path):
    write_shards([], tokenizer, tmp_path / "rank-00000", [Piece("text", True, "memory")])
    with pytest.raises(InputError, match="shards.json is missing") as raised:
        join_ranks(tmp_path, 2, tmp_path / "joined")
    assert "rank-00001" in str(raised.value)
    other = Tokenizer.train_from_iterator(["other text"], 260)
    write_shards([], other, tmp_path / "rank-00001", [Piece("text", True, "memory")])
    with pytest.raises(InputError, match="another tokenizer than the first"):
        join_ranks(tmp_path, 2, tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


def test_without_the_extra_a_sentence_says_what_to_install():
    program = (
        "import sys; sys.modules['datatrove'] = None\n"
        "from groundup.errors import InputError\n"
        "try:\n    import groundup.recipe.cluster\n"
        "except InputError as error:\n    print(error)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout
    assert "needs datatrove" in said and "pip install 'groundup[cluster]'" in said
