"""A recipe carried out in a run directory: data → tokenizer → encode → pretrain → finetune → evaluate.
A recipe that tunes a model of somebody's begins with finetune; one that tunes nothing leaves it out.

What is finished is not done again, what is broken off goes on, and what has changed is done anew with
all that depends on it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import filelock

from groundup.errors import GroundupError
from groundup.evaluate.results import result_from_json
from groundup.files import disk_errors
from groundup.recipe import documents, encode, evaluate, pretrain
from groundup.recipe.directory import RunDirectory
from groundup.recipe.evaluate import last_model
from groundup.recipe.finetune import stage as finetune
from groundup.recipe.finished import Finished
from groundup.recipe.report import write_report
from groundup.recipe.schema import Recipe, write_recipe
from groundup.recipe.stages import Ledger, Stage, carry_out_together
from groundup.recipe.watch import Watcher
from groundup.train.parallel import Parallel
from groundup.train.processes import is_first, refuse_differences, refuse_unshared


def stages(recipe: Recipe, run: RunDirectory) -> list[Stage]:
    """The stages of a recipe, in their order."""
    pretraining = [
        documents.stage(recipe, run),
        encode.tokenizer_stage(recipe, run),
        encode.encode_stage(recipe, run),
        pretrain.stage(recipe, run),
    ]
    tuning = [finetune.stage(recipe, run)] if recipe.finetune.objective else []
    return [*(pretraining if recipe.pretrains else []), *tuning, evaluate.stage(recipe, run)]


def run_recipe(recipe: Recipe, out: Path, watcher: Watcher, rebuild: bool = True) -> Finished:
    """Carry out `recipe` in the run directory `out`.

    Where another recipe was carried out in `out` before, the stages that differ are done anew; or, if
    not `rebuild`, an `InputError` says which one differs. Raises `StoppedError` on Ctrl-C, with the
    state saved, and `GroundupError` where another process is at work in `out`.
    """
    run = RunDirectory(out)
    refuse_differences(recipe.model_dump_json())
    Parallel(recipe.parallel)  # a layout that is none is told before anything is done
    with alone_in(out) if is_first() else nullcontext():
        refuse_unshared(out)
        ledger = Ledger(run.ledger)
        for number, stage in enumerate(stages(recipe, run)):
            carry_out_together(stage, ledger, watcher, rebuild)
            if number == 0 and is_first():
                write_recipe(recipe, run.recipe)
        pretrained = pretrain.read_summary(run.pretrain) if recipe.pretrains else None
        tuned = finetune.read_summary(run) if recipe.finetune.objective else None
        figures, results = evaluate.read_scores(run)
        results = [*map(result_from_json, tuned.results if tuned else []), *results]
        model = last_model(recipe, run)
        finished = Finished(run, model, ledger.records, pretrained, tuned, figures, results)
        if is_first():
            write_report(recipe, finished)
    return finished


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Keep a second process from working in the same run directory; a killed one leaves no lock."""
    lock = filelock.FileLock(out / ".lock", blocking=False)
    try:
        with disk_errors(out):
            out.mkdir(parents=True, exist_ok=True)
            lock.acquire()
    except filelock.Timeout:
        raise GroundupError(
            "another groundup process is at work here", str(out),
            "wait for it, stop it, or choose another --out",
        ) from None  # fmt: skip
    with lock:
        yield
