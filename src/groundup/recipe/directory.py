"""Where things lie in a run directory: the one place that knows."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunDirectory:
    """A run directory by its path. Nothing needs to be there yet."""

    path: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.path / "recipe.toml"

    @property
    def corpus(self) -> Path:
        """Clean documents, a Parquet file for each source, and `corpus.json`: what was found in them."""
        return self.path / "data" / "corpus"

    @property
    def tokenizer(self) -> Path:
        return self.path / "tokenizer"

    @property
    def tokens(self) -> Path:
        """Token shards, a folder for each source, and `tokens.json`."""
        return self.path / "data" / "tokens"

    @property
    def pretrain(self) -> Path:
        """`checkpoints/`, `metrics.jsonl`, `summary.json` and the model."""
        return self.path / "pretrain"

    @property
    def pretrained(self) -> Path:
        """The model directory that pretraining writes."""
        return self.pretrain / "model"

    @property
    def finetune(self) -> Path:
        """`checkpoints/`, `metrics.jsonl`, `summary.json`, the adapter and the tuned model."""
        return self.path / "finetune"

    @property
    def tuned(self) -> Path:
        """The model directory that tuning writes."""
        return self.finetune / "model"

    @property
    def scores(self) -> Path:
        return self.path / "evaluate" / "scores.json"

    @property
    def ledger(self) -> Path:
        """Key, time and memory of each stage."""
        return self.path / "stages.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"


def run_of(path: Path | str) -> RunDirectory | None:
    """The run that a path is, or that the model directory at a path belongs to; None for all others."""
    path = Path(path).resolve()
    if (path / "recipe.toml").is_file():
        return RunDirectory(path)
    run = RunDirectory(path.parent.parent)
    models = (run.pretrained, run.tuned, run.finetune / "adapter")
    return run if path in models and run.recipe.is_file() else None
