"""Spam by a model of our own, pretrained on no test text: accuracy over seeds, each with another split,
beside TF-IDF with logistic regression on the same splits, and LoRA beside training everything.

python benchmarks/spam.py [--seeds 5] [--recipe spam] [--no-lora]
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import fmean

from command import DATA, groundup

FILES = {"spam": DATA / "en/sms-spam.tsv", "reviews-zh": DATA / "zh/reviews.tsv"}
BOOK = "the book: 0.957 from GPT-2 124M, 0.937 from random weights, 0.967 with LoRA"

LORA = [
    "--finetune.lora.rank=8", "--finetune.lora.targets=query,value",
    "--finetune.train.optimizer=adamw", "--finetune.train.learning_rate=1e-2",
    "--finetune.train.weight_decay=0", "--finetune.epochs=10",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", choices=FILES, default="spam")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--no-lora", action="store_true")
    options = parser.parse_args()
    file = FILES[options.recipe]
    rows = []
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            seeded = [f"--finetune.{name}={seed}" for name in ("classify.split_seed", "train.seed")]
            seeded.append(f"--pretrain.train.seed={seed}")
            began = time.monotonic()
            result = groundup("run", options.recipe, "--data", file, "--out", out, *seeded)
            minutes = (time.monotonic() - began) / 60
            row = {"minutes": minutes, **result["finetune"]["figures"]}
            if not options.no_lora:
                row["lora"] = groundup(
                    "run", options.recipe, "--data", file, "--out", out, *seeded, *LORA
                )["finetune"]
        rows.append(row)
        print(shown(seed, row), flush=True)
    print(f"mean of {len(rows)}: ours {fmean(r['test_accuracy'] for r in rows):.4f}   TF-IDF + logistic "
          f"regression {fmean(r['baselines']['TF-IDF + logistic regression'] for r in rows):.4f}   "
          f"majority {fmean(r['baselines']['majority'] for r in rows):.4f}")  # fmt: skip
    if not options.no_lora:
        share = rows[0]["lora"]["trainable_parameters"] / rows[0]["lora"]["parameters"]
        mean = fmean(r["lora"]["figures"]["test_accuracy"] for r in rows)
        print(f"LoRA, rank 8 ({share:.1%} of the parameters): {mean:.4f}")
    if options.recipe == "spam":
        print(BOOK)


def shown(seed: int, row: dict) -> str:
    low, high = row["test_interval"]
    text = (
        f"seed {seed}: {row['test_accuracy']:.4f} [{low:.3f}, {high:.3f}] in {row['minutes']:.1f} min   "
        f"TF-IDF + logistic regression {row['baselines']['TF-IDF + logistic regression']:.4f}"
    )
    if "lora" in row:
        text += f"   LoRA {row['lora']['figures']['test_accuracy']:.4f}"
    return text


if __name__ == "__main__":
    main()
