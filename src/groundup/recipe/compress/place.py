"""Where the result of a compression lies: the folder is the model, and its `training/` what it was made
with."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from groundup.errors import InputError
from groundup.files import disk_errors
from groundup.language import N_
from groundup.model.gpt import GPT
from groundup.recipe.run import alone_in
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.checkpoint import checkpoints
from groundup.weights.directory import save


@dataclass(frozen=True)
class Place:
    """A folder to compress into."""

    out: Path

    @property
    def training(self) -> Path:
        """`checkpoints/`, `metrics.jsonl` and the text as token ids."""
        return self.out / "training"

    @contextmanager
    def taken(self, resume: bool) -> Iterator[None]:
        """Work here alone. Raises `InputError` where something lies here that would be lost."""
        begun = bool(checkpoints(self.training / "checkpoints"))
        if (self.out / "config.json").exists() and not (begun and resume):
            raise InputError("this folder holds a model already", str(self.out), _OTHER)
        if begun and not resume:
            raise InputError(
                "a training was begun in this folder", str(self.out), f"add --resume, or {_OTHER}"
            )
        with alone_in(self.out):
            yield

    def put(self, model: GPT, tokenizer: Tokenizer) -> None:
        """Write the model directory, file after file: `config.json`, which makes it one, is the last."""
        made = self.out / ".model"
        save(model, tokenizer, made)
        with disk_errors(self.out):
            for file in sorted(made.iterdir(), key=lambda file: file.name == "config.json"):
                file.replace(self.out / file.name)
            made.rmdir()


_OTHER = N_("choose another --out")
