"""Instructions with LoRA on SmolLM2-135M: what the loss on held-out rows was and becomes, in minutes.

python benchmarks/instruct.py [--seeds 1]
"""

import argparse
import tempfile
import time

from command import DATA, groundup, smollm2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            result = groundup(
                "run", "instruct-en", "--finetune.model", smollm2(), "--finetune.data",
                DATA / "en/instructions.json", "--finetune.train.seed", seed, "--out", f"{folder}/run",
            )["finetune"]  # fmt: skip
            minutes = (time.monotonic() - began) / 60
        figures = result["figures"]
        before, after = figures["val_loss_before"], figures["val_loss"]
        share = result["trainable_parameters"] / result["parameters"]
        print(f"seed {seed}: validation loss {before:.3f} → {after:.3f} ({after / before - 1:+.0%}) in "
              f"{minutes:.1f} min, {share:.1%} of the parameters trained")  # fmt: skip


if __name__ == "__main__":
    main()
