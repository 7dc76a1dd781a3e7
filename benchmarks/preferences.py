"""DPO on real pairs: on how many held-out ones does the model prefer what people chose?

python benchmarks/preferences.py [--seeds 1]
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
            figures = groundup(
                "run", "prefer-en", "--finetune.model", smollm2(), "--finetune.data",
                DATA / "en/preferences.json", "--finetune.train.seed", seed, "--out", f"{folder}/run",
            )["finetune"]["figures"]  # fmt: skip
            minutes = (time.monotonic() - began) / 60
        low, high = figures["reward_interval"]
        print(f"seed {seed}: reward accuracy {figures['reward_accuracy']:.3f} [{low:.3f}, {high:.3f}], "
              f"margin {figures['reward_margin']:.3f}, in {minutes:.1f} min")  # fmt: skip


if __name__ == "__main__":
    main()
