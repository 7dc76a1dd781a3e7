"""A recipe made of flags, carried out in a folder of its own: for `pretrain` and `finetune`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.errors import InputError

if TYPE_CHECKING:  # `--help` loads no torch
    from groundup.recipe.directory import RunDirectory
    from groundup.recipe.finished import Finished


def run_flags(values: dict[str, Any], out: Path, resume: bool) -> "Finished":
    """Carry out the recipe that `values` stand for. A folder that holds a run is only gone on with."""
    from groundup.cli.console import ConsoleWatcher
    from groundup.recipe.directory import RunDirectory
    from groundup.recipe.launch import launch
    from groundup.recipe.run import run_recipe
    from groundup.recipe.schema import parse_recipe
    from groundup.train.processes import first_says, is_started_again

    recipe, run = parse_recipe(values), RunDirectory(out)
    launch(recipe.parallel.processes)
    begun = first_says(lambda: _holds_work(run))
    if begun and not (resume or is_started_again()):
        raise InputError(
            "this folder holds a run already", str(out), "add --resume, or choose another --out"
        )
    with ConsoleWatcher() as watcher:
        finished = run_recipe(recipe, out, watcher, rebuild=not begun)
    watcher.made(finished)
    return finished


def _holds_work(run: "RunDirectory") -> bool:
    """Whether anything was made there: a first try that was refused leaves nothing to go on with."""
    from groundup.recipe.stages import Ledger

    saved = [*run.pretrain.glob("checkpoints/step-*"), *run.finetune.glob("checkpoints/step-*")]
    return bool(saved) or any(record.finished for record in Ledger(run.ledger).records.values())
