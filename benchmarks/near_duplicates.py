"""Near-duplicates against a plain datasketch script: what is found, how fast, in how much memory.

python benchmarks/near_duplicates.py found | speed [--size 1GB]

found: real documents with edited copies planted among them, by the share of characters edited.
speed: a corpus of new texts from the words of real ones, one in twenty a copy of an earlier one with
up to 20 % of its characters edited; datasketch gets the first 10 MB.
"""

import argparse
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from datasketch import MinHash, MinHashLSH

from groundup.cleaning.near_duplicates import near_duplicates
from groundup.sources.read import read_pieces

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))  # for the planted copies, which the tests use too

from tests.cleaning.planted import Planted, documents, planted, scattered  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
BANDS = ("1-5 %", "5-10 %", "10-15 %", "15-20 %")
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
SHARED_PART = 10_000_000


def ours(texts: Iterable[str]) -> list[tuple[int, int]]:
    return [(found.text, found.copy_of) for found in near_duplicates(texts)]


def plain_datasketch(texts: Iterable[str], threshold: float = 0.3) -> list[tuple[int, int]]:
    """What its documentation shows: MinHash of 5-character shingles, 128 permutations, LSH."""
    lsh = MinHashLSH(threshold=threshold, num_perm=128)
    found = []
    for index, text in enumerate(texts):
        folded = "".join(text.lower().split())
        minhash = MinHash(num_perm=128)
        minhash.update_batch([folded[i : i + 5].encode() for i in range(max(1, len(folded) - 4))])
        if alike := lsh.query(minhash):
            found.append((index, int(min(alike))))
        else:
            lsh.insert(index, minhash)
    return found


def compare_found() -> None:
    for language in ("en", "zh"):
        texts = distinct(documents(DATA, language, 5000))
        sample = planted(texts, copies=1000)
        size = sum(len(text.encode()) for text in sample.texts) / 1e6
        print(f"{language}: {len(texts)} documents and 1000 copies, {size:.1f} MB")
        print(f"  {'':<22} precision recall   by share of characters edited: {', '.join(BANDS)}")
        report("ours, 0.8", sample, ours(sample.texts))
        for threshold in THRESHOLDS:
            found = plain_datasketch(sample.texts, threshold)
            report(f"datasketch, J >= {threshold}", sample, found)


def report(name: str, sample: Planted, found: list[tuple[int, int]]) -> None:
    precision, recalls = scores(sample, found)
    by_band = "  ".join(f"{recalls[band]:.3f}" for band in BANDS)
    print(f"  {name:<22} {precision:9.3f} {recalls['all']:6.3f}   {by_band}")


def scores(sample: Planted, found: list[tuple[int, int]]) -> tuple[float, dict[str, float]]:
    """Precision, and recall in all and by band. Of a document and its copy the later is to be
    found, as a copy of the earlier; anything else that is found is wrong."""
    right = {text for text, other in found if sample.family[text] == sample.family[other]}
    there: Counter[str] = Counter()
    recalled: Counter[str] = Counter()
    seen: dict[int, int] = {}
    for text, family in enumerate(sample.family):
        if family in seen:
            rate = max(sample.rate[text], sample.rate[seen[family]])
            for band in (BANDS[min(int(rate * 20), 3)], "all"):
                there[band] += 1
                recalled[band] += text in right
        seen[family] = text
    return len(right) / max(1, len(found)), {band: recalled[band] / there[band] for band in there}


def distinct(texts: list[str]) -> list[str]:
    """Real texts hold copies that nobody planted; what datasketch finds of them is left out."""
    copies = {text for text, _ in plain_datasketch(texts)}
    return [text for index, text in enumerate(texts) if index not in copies]


def compare_speed(size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "corpus.jsonl"
        write_corpus(path, size)
        measured = []
        for side, part in (("ours", SHARED_PART), ("datasketch", SHARED_PART), ("ours", size)):
            command = [sys.executable, __file__, "speed", "--side", side, "--file", str(path)]
            command += ["--size", str(part)]
            output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
            measured.append(json.loads(output))
            print(side_by_side(side, measured[-1]), flush=True)
        ratio = measured[1]["seconds"] / measured[0]["seconds"]
        print(f"  ratio on the same text {ratio:.1f}")


def side_by_side(side: str, figures: dict[str, float]) -> str:
    megabytes = figures["bytes"] / 1e6
    return (
        f"  {side:<11} {megabytes:7.0f} MB {figures['seconds']:7.1f} s"
        f" {megabytes / figures['seconds']:6.2f} MB/s   peak {figures['peak_bytes'] / 1e9:.2f} GB"
        f"   {figures['recall']:.3f} of the planted copies"
    )


def write_corpus(path: Path, size: int) -> None:
    """Documents as lines of JSON, `size` bytes of text: [text, whether it is a planted copy]."""
    rng = random.Random(0)
    names = ["en/sms-spam.tsv", "en/instructions.json", "en/preferences.json", "zh"]
    sources = [piece.text for piece in read_pieces([DATA / name for name in names])]
    plays = (DATA / "en/tinyshakespeare.txt").read_text().split("\n\n")
    # Three speeches a text, each text four times, so that half of the bytes are English.
    sources += ["\n".join(plays[i : i + 3]) for i in range(0, len(plays), 3)] * 4
    written = 0
    # The texts that may be copied: a copy stands some ten thousand texts after its original.
    earlier: list[str] = []
    with path.open("w", encoding="utf-8") as file:
        while written < size:
            is_copy = len(earlier) == 10_000 and rng.random() < 0.05
            if is_copy:
                text = scattered(earlier.pop(0), rng.uniform(0.01, 0.2), rng.choice(sources), rng)
            else:
                text = new_text(rng.sample(sources, 3), rng)
                if len(earlier) < 10_000 and len(text) >= 60:
                    earlier.append(text)
            written += len(text.encode())
            file.write(json.dumps([text, is_copy], ensure_ascii=False) + "\n")


def new_text(sources: list[str], rng: random.Random) -> str:
    """A text as long as the first source, of words drawn from all of them; a word of Chinese is a
    pair of characters."""
    words = [_WORD.findall(source) for source in sources]
    drawn = rng.sample([word for each in words for word in each], len(words[0]))
    return "".join(drawn)


_WORD = re.compile(r"[!-~]+\s*|[^!-~]{1,2}")


def measure(side: str, path: Path, size: int) -> dict[str, float]:
    search = ours if side == "ours" else plain_datasketch
    copies: list[int] = []
    began = time.perf_counter()
    found = {text for text, _ in search(read_corpus(path, size, copies))}
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    recall = sum(copy in found for copy in copies) / max(1, len(copies))
    return {"seconds": seconds, "bytes": size, "peak_bytes": peak, "recall": recall}


def read_corpus(path: Path, size: int, copies: list[int]) -> Iterator[str]:
    """The first `size` bytes; the places of planted copies go to `copies`."""
    with path.open(encoding="utf-8") as file:
        for index, line in enumerate(file):
            text, is_copy = json.loads(line)
            if is_copy:
                copies.append(index)
            yield text
            size -= len(text.encode())
            if size <= 0:
                return


def byte_count(text: str) -> int:
    """ "100MB" or "1GB" as a number."""
    units = {"GB": 10**9, "MB": 10**6}
    return int(float(text[:-2]) * units[text[-2:]]) if text[-2:] in units else int(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("found", "speed"))
    parser.add_argument("--size", type=byte_count, default="100MB")
    parser.add_argument("--side")
    parser.add_argument("--file", type=Path)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.side, options.file, options.size)))
    elif options.what == "found":
        compare_found()
    else:
        print(f"near-duplicates, {options.size / 1e6:.0f} MB")
        compare_speed(options.size)


if __name__ == "__main__":
    main()
