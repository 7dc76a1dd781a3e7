"""Text files to token shards (read, split, encode, check, write) against tiktoken's own batch
encoding of the same text already in memory, with as many threads.

python benchmarks/encoding.py [--megabytes 60] [--repeats 3]
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from groundup.data.shards import write_shards
from groundup.sources.read import read_pieces
from groundup.tokenizer.tokenizer import Tokenizer

DATA = Path(__file__).parents[2] / "shared" / "data"


def write_corpora(folder: Path, megabytes: int) -> list[Path]:
    """The real texts again and again, as one document and as many."""
    texts = [piece.text for piece in read_pieces([DATA / "en", DATA / "zh"])]
    documents = [part for text in texts for part in text.split("\n\n") if part.strip()]
    size = sum(len(text.encode()) for text in documents)
    documents *= max(1, round(megabytes * 1_000_000 / size))
    one, many = folder / "one document.txt", folder / "many documents.jsonl"
    one.write_text("\n".join(documents), encoding="utf-8")
    rows = (json.dumps({"text": text}, ensure_ascii=False) for text in documents)
    many.write_text("\n".join(rows), encoding="utf-8")
    return [one, many]


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare(path: Path, tokenizer: Tokenizer, repeats: int) -> str:
    """One after the other, so that both meet the same machine."""
    out, threads = path.parent / "shards", os.cpu_count() or 1
    texts = [piece.text for piece in read_pieces([path])]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    encoding = tokenizer.vocabulary.fast  # type: ignore[attr-defined]
    ours, theirs = [], []
    for _ in range(repeats):
        theirs.append(seconds(lambda: encoding.encode_ordinary_batch(texts, num_threads=threads)))
        ours.append(seconds(lambda: write_shards(read_pieces([path]), tokenizer, out)))
    ratio = statistics.median(t / o for t, o in zip(theirs, ours, strict=True))
    rates = (megabytes / statistics.median(taken) for taken in (ours, theirs))
    return "{:<20} {:>12.1f} {:>12.1f} {:>8.2f}".format(path.stem, *rates, ratio)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    tokenizer = Tokenizer.load(DATA / "vocab/gpt2")
    print(f"{'MB/s':<20} {'to shards':>12} {'tiktoken':>12} {'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for path in write_corpora(Path(folder), options.megabytes):
            print(compare(path, tokenizer, options.repeats))


if __name__ == "__main__":
    main()
