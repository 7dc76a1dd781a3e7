"""What each step from the transformer of 2017 to today bought: trains recipes/evolution and writes the
table into docs/en/evolution.md and docs/zh/evolution.md, and the figure docs/evolution.svg.

python benchmarks/evolution.py [--seeds 3] [--out runs/evolution] [any flag of groundup run]

Broken off, it goes on where it was. To measure the speed alone again, remove speed.json in --out.
"""

import argparse
import subprocess
import sys
from functools import partial
from pathlib import Path

from groundup import page
from groundup.recipe.compare import read_comparison
from groundup.recipe.comparison import Variant, draw, markdown
from run import machine

TEXT = Path(__file__).parents[2] / "shared" / "data" / "en" / "tinyshakespeare.txt"
DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- written by benchmarks/evolution.py -->", "<!-- end -->"
CAPTIONS = {
    "en": "{tokens:,} tokens of {text} in each training, {seeds} seeds. {machine}",
    "zh": "每次训练读 {text} 的 {tokens:,} 个词元，{seeds} 个种子。{machine}",
}
CHINESE = {
    "recipe": "配方", "what is changed": "改了什么", "bits per byte": "每字节比特数",
    "what it bought": "换来了什么", "verdict": "结论", "parameters": "参数", "tokens/s": "词元/秒",
    "training memory": "训练内存", "key-value cache": "键值缓存", "better": "更好", "worse": "更差",
    "no difference shown": "看不出差别", "one seed cannot tell": "一个种子说明不了",
}  # fmt: skip


def write_pages(variants: list[Variant], text: str) -> None:
    """Put the table between the marks of both pages, and the figure beside them."""
    facts = {
        "tokens": variants[0].tokens, "seeds": len(variants[0].by_seed), "text": text,
        "machine": machine(),
    }  # fmt: skip
    for language, words in (("en", None), ("zh", CHINESE)):
        path = DOCS / language / "evolution.md"
        measured = f"{CAPTIONS[language].format(**facts)}\n\n{markdown(variants, words)}"
        before = path.read_text(encoding="utf-8")
        head, _, rest = before.partition(BEGIN)
        tail = rest.partition(END)[2]
        path.write_text(f"{head}{BEGIN}\n{measured}{END}{tail}", encoding="utf-8")
    figure = page.figure(partial(draw, variants=variants))
    (DOCS / "evolution.svg").write_text(figure, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--seeds", default="3")
    parser.add_argument("--out", default="runs/evolution")
    parser.add_argument("--data", default=str(TEXT))
    options, more = parser.parse_known_args()
    command = [sys.executable, "-m", "groundup.cli.main", "run", "evolution", "--out", options.out]
    command += ["--data", options.data, "--seeds", options.seeds, *more]
    if status := subprocess.run(command).returncode:
        sys.exit(status)
    write_pages(read_comparison(Path(options.out)).variants, Path(options.data).name)


if __name__ == "__main__":
    main()
