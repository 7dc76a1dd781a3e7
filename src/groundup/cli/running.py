"""A recipe made of flags, carried out in a folder of its own: for `pretrain` and `finetune`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.errors import InputError

if TYPE_CHECKING:  # `--help` loads no torch
    from groundup.recipe.finished import Finished


def run_flags(values: dict[str, Any], out: Path, resume: bool) -> "Finished":
    """Carry out the recipe that `values` stand for. A folder that holds a run is only gone on with."""
    from groundup.cli.console import ConsoleWatcher
    from groundup.recipe.directory import RunDirectory
    from groundup.recipe.run import run_recipe
    from groundup.recipe.schema import parse_recipe

    recipe = parse_recipe(values)
    if RunDirectory(out).ledger.exists() and not resume:
        raise InputError(
            "this folder holds a run already", str(out), "add --resume, or choose another --out"
        )
    with ConsoleWatcher() as watcher:
        finished = run_recipe(recipe, out, watcher, rebuild=False)
    watcher.made(finished)
    return finished
