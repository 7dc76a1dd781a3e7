"""BPE training against `tokenizers` with the same split, and encoding against plain tiktoken.

python benchmarks/tokenizer.py train|encode [--megabytes 40]

The text: the real texts beside the repository, repeated with names changed from round to round, so
that new words keep coming.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from groundup.sources.read import read_pieces
from groundup.tokenizer.tokenizer import END_OF_TEXT, Tokenizer
from groundup.tokenizer.words import SPLIT_PATTERN

DATA = Path(__file__).parents[2] / "shared" / "data"
VOCAB_SIZE = 32_768


def write_corpus(path: Path, megabytes: int) -> None:
    """Every real text again and again; after the first round one word in eight gets new letters."""
    rng = random.Random(0)
    texts = [p.text for p in read_pieces([DATA / "en", DATA / "zh"])]
    size, fresh = 0, False
    with path.open("w", encoding="utf-8") as file:
        while size < megabytes * 1_000_000:
            for text in texts:
                words = text.split(" ")
                if fresh:
                    words = [
                        "".join(rng.sample(w, len(w))) if rng.random() < 0.125 else w for w in words
                    ]
                size += (
                    file.write(" ".join(words) + "\n")
                    if text.isascii()
                    else 3 * file.write("".join(words) + "\n")
                )
            fresh = True


def train(side: str, path: Path) -> None:
    if side == "ours":
        Tokenizer.train([path], VOCAB_SIZE)
        return
    from tokenizers import Regex, models, pre_tokenizers, trainers
    from tokenizers import Tokenizer as Theirs

    theirs = Theirs(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, special_tokens=[END_OF_TEXT], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    theirs.train([str(path)], trainer)


def measure_training(side: str, path: Path) -> dict[str, float]:
    done = threading.Event()
    peak = [0]
    sampler = threading.Thread(target=watch_memory, args=(peak, done))
    sampler.start()
    began = time.perf_counter()
    train(side, path)
    seconds = time.perf_counter() - began
    done.set()
    sampler.join()
    return {"seconds": seconds, "peak_bytes": peak[0]}


def watch_memory(peak: list[int], done: threading.Event) -> None:
    """The largest sum of resident memory of this process and its children, looked at ten times a
    second (Linux)."""
    while not done.wait(0.1):
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        peak[0] = max(peak[0], sum(map(resident, ["self", *children])))


def resident(process: str) -> int:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:  # it has just ended
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def compare_training(path: Path) -> None:
    results: dict[str, list[dict[str, float]]] = {"ours": [], "tokenizers": []}
    for _ in range(3):
        for side, measured in results.items():
            command = [sys.executable, __file__, "train", "--side", side, "--file", str(path)]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            measured.append(json.loads(output))
    middle = {side: sorted(m, key=lambda r: r["seconds"])[1] for side, m in results.items()}
    print(f"BPE training, {path.stat().st_size / 1e6:.0f} MB, vocabulary {VOCAB_SIZE}")
    for side, figures in middle.items():
        print(f"  {side:<11} {figures['seconds']:6.1f} s   {figures['peak_bytes'] / 1e9:.2f} GB")
    print(f"  ratio {middle['ours']['seconds'] / middle['tokenizers']['seconds']:.2f}")


def compare_encoding(path: Path) -> None:
    text = path.read_text(encoding="utf-8")[:4_000_000]
    ours = Tokenizer.train_from_iterator([text[:1_000_000]], 8192)
    plain = ours.vocabulary.fast  # type: ignore[attr-defined]
    sides = {"ours": lambda: ours.encode(text), "tiktoken": lambda: plain.encode_ordinary(text)}
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(3):
        for side, work in sides.items():
            began = time.perf_counter()
            work()
            seconds[side].append(time.perf_counter() - began)
    size = len(text.encode()) / 1e6
    middle = {side: sorted(values)[1] for side, values in seconds.items()}
    print(f"encoding, {size:.0f} MB")
    for side, value in middle.items():
        print(f"  {side:<9} {size / value:6.1f} MB/s")
    print(f"  ratio {middle['tiktoken'] / middle['ours']:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("train", "encode"))
    parser.add_argument("--megabytes", type=int, default=40)
    parser.add_argument("--side")
    parser.add_argument("--file", type=Path)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure_training(options.side, options.file)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "corpus.txt"
        write_corpus(path, options.megabytes)
        (compare_training if options.what == "train" else compare_encoding)(path)


if __name__ == "__main__":
    main()
