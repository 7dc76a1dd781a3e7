"""What a model forgets of its own text (Chinese medicine) while it learns to answer questions of law by the
recipe law-zh: with the text that is mixed in by default, and without any. Then all of them sit an exam of law.

python benchmarks/law.py [--steps 300]
"""

import argparse
import tempfile
import time
from pathlib import Path

from command import DATA, groundup

WITHOUT = "--finetune.instruct.replay_share=0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", default="300", help="of pretraining on the general text")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = groundup(
            "run", "medicine-zh", "--data", DATA / "zh/medical-qa.jsonl", "--out", f"{folder}/base",
            "--pretrain.train.steps", options.steps, "--finetune.objective", "none",
            "--evaluate.build_exam", "false",
        )  # fmt: skip
        models = {"before": base["model"]}
        for name, more in (("with replay", []), ("without", [WITHOUT])):
            began = time.monotonic()
            out = Path(folder) / name.split()[0]
            result = groundup(
                "run", "law-zh", "--data", DATA / "zh/legal-qa.jsonl", "--out", out,
                "--finetune.model", base["model"], "--evaluate.build_exam", "false", *more,
            )  # fmt: skip
            print(shown(name, result["finetune"]["figures"], time.monotonic() - began), flush=True)
            models[name] = result["model"]
        for name, model in models.items():
            exam = groundup("evaluate", model, "--exam", DATA / "zh/law-exam.json")
            print(f"{name:<12} law exam: {exam['verdict']}", flush=True)


def shown(name: str, figures: dict, seconds: float) -> str:
    lost = figures["forgetting"]
    low, high = lost["relative_interval"]
    return (
        f"{name:<12} general text {lost['before']:.4f} → {lost['after']:.4f} bits per byte "
        f"({lost['relative']:+.1%} [{low:+.1%}, {high:+.1%}])   loss on held-out answers "
        f"{figures['val_loss_before']:.3f} → {figures['val_loss']:.3f}   {seconds / 60:.1f} min"
    )


if __name__ == "__main__":
    main()
