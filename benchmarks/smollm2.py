"""SmolLM2-135M-Instruct with LoRA: the loss on instructions that were held out, before and after, and on how
many held-out pairs it prefers what people chose.

python benchmarks/smollm2.py instruct|prefer [--seeds 1]
"""

import argparse
import tempfile
import time
from typing import Any

from command import DATA, groundup, smollm2


def tune(recipe: str, rows: str, seed: int) -> tuple[dict[str, Any], float]:
    """What the recipe's tuning came to, and the minutes it took."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        result = groundup(
            "run", recipe, "--finetune.model", smollm2(), "--finetune.data", DATA / rows,
            "--finetune.train.seed", seed, "--out", f"{folder}/run",
        )  # fmt: skip
        return result["finetune"], (time.monotonic() - began) / 60


def instruct(seed: int) -> str:
    result, minutes = tune("instruct-en", "en/instructions.json", seed)
    figures = result["figures"]
    before, after = figures["val_loss_before"], figures["val_loss"]
    share = result["trainable_parameters"] / result["parameters"]
    return (
        f"validation loss {before:.3f} → {after:.3f} ({after / before - 1:+.0%}) in {minutes:.1f} min, "
        f"{share:.1%} of the parameters trained"
    )


def prefer(seed: int) -> str:
    result, minutes = tune("prefer-en", "en/preferences.json", seed)
    figures = result["figures"]
    low, high = figures["reward_interval"]
    return (
        f"reward accuracy {figures['reward_accuracy']:.3f} [{low:.3f}, {high:.3f}], "
        f"margin {figures['reward_margin']:.3f}, in {minutes:.1f} min"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("instruct", "prefer"))
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    for seed in range(options.seeds):
        print(
            f"seed {seed}: {(instruct if options.what == 'instruct' else prefer)(seed)}", flush=True
        )


if __name__ == "__main__":
    main()
