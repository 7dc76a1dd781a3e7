"""SmolLM2-135M-Instruct with LoRA: the loss on instructions that were held out, before and after, and what an
exam of Chinese law says of both; or on how many held-out pairs it prefers what people chose.

python benchmarks/smollm2.py instruct|prefer [--seeds 1]
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from command import DATA, groundup, smollm2

EXAM_QUESTIONS = 100


def tune(recipe: str, rows: str, seed: int, folder: str) -> tuple[dict[str, Any], str, float]:
    """What the recipe's tuning came to, the model, and the minutes it took."""
    began = time.monotonic()
    result = groundup(
        "run", recipe, "--finetune.model", smollm2(), "--finetune.data", DATA / rows,
        "--finetune.train.seed", seed, "--out", f"{folder}/run",
    )  # fmt: skip
    return result["finetune"], result["model"], (time.monotonic() - began) / 60


def instruct(seed: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        result, model, minutes = tune("instruct-en", "en/instructions.json", seed, folder)
        exams = [
            f"  law exam, {n}: {exam(m)}" for n, m in (("before", smollm2()), ("after", model))
        ]
    before, after = (result["figures"][name] for name in ("val_loss_before", "val_loss"))
    share = result["trainable_parameters"] / result["parameters"]
    told = (
        f"validation loss {before:.3f} → {after:.3f} ({after / before - 1:+.0%}) in {minutes:.1f} min, "
        f"{share:.1%} of the parameters trained"
    )
    return "\n".join([told, *exams])


def exam(model: str | Path) -> str:
    """What an exam says that the model was not prepared for."""
    law = DATA / "zh/law-exam.json"
    return groundup("evaluate", model, "--exam", law, "--limit", EXAM_QUESTIONS)["verdict"]


def prefer(seed: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        result, _, minutes = tune("prefer-en", "en/preferences.json", seed, folder)
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
