"""The variants of a model by their names: made once, kept, and made anew only from something else."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from groundup.compress.config import PruneConfig
from groundup.compress.prune import needs_text
from groundup.errors import InputError, unknown
from groundup.recipe.compress.prune import PruneRequest, prune_model
from groundup.recipe.compress.quantize import quantize_model
from groundup.recipe.stages import Ledger, Stage, carry_out
from groundup.recipe.watch import Watcher
from groundup.sources.fingerprint import fingerprint
from groundup.weights.directory import weights_checksum

QUANTIZED = {
    "int8": (8, "absmax"), "int8-gptq": (8, "gptq"), "int4": (4, "gptq"), "int4-absmax": (4, "absmax"),
}  # fmt: skip
STANDARD = ("int8", "int8-gptq", "int4")
"""What is made where nobody says what."""


@dataclass(frozen=True)
class Variant:
    """What is made of a model: in few bits, or pruned ("layers@0.25")."""

    name: str
    pruned: PruneConfig | None = None

    @classmethod
    def parse(cls, name: str) -> "Variant":
        """The variant of this name. Raises `InputError` where there is none."""
        if name in QUANTIZED:
            return cls(name)
        pattern, at, sparsity = name.partition("@")
        if not at:
            raise unknown("variant", name, [*QUANTIZED, "PATTERN@SPARSITY"], "--variants")
        return cls(
            name,
            PruneConfig.parse({"pattern": pattern, "sparsity": sparsity}, f"--variants {name}"),
        )

    @property
    def folder(self) -> str:
        """A name that every file system takes."""
        return self.name.replace(":", "-")

    @property
    def needs_text(self) -> bool:
        """Whether it is made by what the model does with a text."""
        if self.pruned:
            return needs_text(self.pruned.pattern)
        return QUANTIZED[self.name][1] == "gptq"

    def make(self, source: Path, texts: Sequence[str | Path], out: Path, watcher: Watcher) -> None:
        """Write it as the model directory `out`."""
        texts = texts if self.needs_text else ()
        if self.pruned is None:
            quantize_model(source, *QUANTIZED[self.name], texts, out)
            return
        # What is there is of other inputs, or begun and broken off.
        shutil.rmtree(out / "training", ignore_errors=True)
        (out / "config.json").unlink(missing_ok=True)
        calibration = tuple(map(str, texts))
        prune_model(PruneRequest(str(source), self.pruned, out, calibration=calibration), watcher)


def make_variants(
    variants: Sequence[Variant],
    source: Path,
    texts: Sequence[str | Path],
    out: Path,
    watcher: Watcher,
) -> dict[str, Path]:
    """Make what is not there yet of `variants`, each in a folder of its own in `out`; their places by
    name. `texts` are what those that need a text are made by."""
    if len({variant.name for variant in variants}) < len(variants):
        raise InputError("a variant is named twice", "--variants", "name each once")
    ledger = Ledger(out / "stages.json")
    checksum = weights_checksum(source)
    for variant in variants:
        _make(variant, source, checksum, texts, out, ledger, watcher)
    return {variant.name: out / variant.folder for variant in variants}


def _make(
    variant: Variant, source: Path, checksum: str, texts: Sequence[str | Path], out: Path, ledger: Ledger,
    watcher: Watcher,
) -> None:  # fmt: skip
    place = out / variant.folder
    key = [checksum, variant.name, fingerprint(texts) if variant.needs_text else None]
    stage = Stage(
        variant.name, f"Making the variant {variant.name}.", lambda: key,
        lambda watcher: variant.make(source, texts, place, watcher), place / "config.json",
    )  # fmt: skip
    carry_out(stage, ledger, watcher, rebuild=True)
