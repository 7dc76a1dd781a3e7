"""Small real runs, whose trainings a server tells of."""

import os
import shutil
from pathlib import Path
from typing import Any

from groundup.recipe.run import run_recipe
from groundup.recipe.schema import merge, parse_recipe
from groundup.recipe.watch import Watcher

SMALL: dict[str, Any] = {
    "data": {"world_documents": 60, "validation_fraction": 0.1},
    "tokenizer": {"vocab_size": 400, "special_tokens": [
        "<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"]},
    "pretrain": {
        "preset": "nano", "prompt": "Mia is in",
        "model": {"d_model": 32, "n_layers": 2, "n_heads": 2, "context_length": 64},
        "train": {"steps": 40, "micro_batch": 4, "checkpoint_every": 10, "keep_checkpoints": 8,
                  "eval_every": 20, "eval_tokens": 500},
    },
    "finetune": {
        "objective": "instruct", "lora": {"rank": 2}, "instruct": {"held_out": 0.1},
        "train": {"steps": 8, "micro_batch": 4, "checkpoint_every": 4, "eval_every": 4},
    },
}  # fmt: skip
PRETRAIN_STEPS, FINETUNE_STEPS = [10, 20, 30, 40], [4, 8]


def build(out: Path, **changes: Any) -> Path:
    """A run in `out`: the small recipe with `changes` put over it."""
    run_recipe(parse_recipe(merge(SMALL, changes)), out, Watcher())
    return out


def build_classifier(folder: Path) -> Path:
    """A run in `folder` that ends with a classifier."""
    rows = folder / "rows.tsv"
    lines = [
        f"{label}\tI see a {label} thing, number {n}"
        for n in range(30)
        for label in ("red", "blue")
    ]
    rows.write_text("\n".join(lines), encoding="utf-8")
    train = {"steps": 4, "micro_batch": 4}
    tuning = {"objective": "classify", "data": [str(rows)], "train": train, "lora": {"rank": 0}}
    return build(folder / "labels", finetune=tuning)


def with_many_checkpoints(run: Path, out: Path) -> Path:
    """A copy of a run with a thousand checkpoints more, all of them its last: to ask them takes minutes."""
    shutil.copytree(run, out)
    folder = out / "pretrain/checkpoints"
    for step in range(1001, 2001):
        last = folder / f"step-{PRETRAIN_STEPS[-1]:08d}"
        shutil.copytree(last, folder / f"step-{step:08d}", copy_function=os.link)
    return out
