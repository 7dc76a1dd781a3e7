"""What a run will take: seconds, memory and disk of each stage, from a short trial on this machine.

The trial (`trial.py`) does on a sample what the stages do on everything. What cannot fit is refused,
with the largest that would.
"""

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from groundup.data.report import TOKENS_PER_PARAMETER
from groundup.language import N_
from groundup.model.cost import parameter_count
from groundup.recipe.directory import RunDirectory
from groundup.recipe.pretrain import identity
from groundup.recipe.run import stages
from groundup.recipe.schema import Recipe
from groundup.recipe.stages import Ledger, PeakMemory
from groundup.recipe.trial import Trial
from groundup.recipe.watch import Watcher
from groundup.train.checkpoint import checkpoints, saved_identity
from groundup.train.memory import USABLE, copied_bytes, memory_problem, needed_bytes, training_bytes

# Beyond, a text teaches less and less (Muennighoff et al. 2023, "Scaling Data-Constrained Language
# Models": up to four times it is nearly as good as new text).
MOST_EPOCHS = 4


@dataclass(frozen=True)
class Estimate:
    """What one stage will take; nothing, if it is done."""

    name: str
    state: str
    seconds: float | None = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0


@dataclass
class Plan:
    """The stages of a run with what they will take, and what stands against it."""

    stages: list[Estimate] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What cannot fit, and the largest that would."""
    notes: list[str] = field(default_factory=list)
    """What is worth knowing before."""

    @property
    def fits(self) -> bool:
        return not self.problems

    @property
    def seconds(self) -> float | None:
        """Of all stages; None where one cannot be tried."""
        times = [stage.seconds for stage in self.stages if stage.seconds is not None]
        return sum(times) if len(times) == len(self.stages) else None

    @property
    def memory_bytes(self) -> int:
        return max(stage.memory_bytes for stage in self.stages)

    @property
    def disk_bytes(self) -> int:
        return sum(stage.disk_bytes for stage in self.stages)

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values."""
        whole = {
            name: getattr(self, name) for name in ("fits", "seconds", "memory_bytes", "disk_bytes")
        }
        return asdict(self) | whole


def make_plan(recipe: Recipe, out: Path, watcher: Watcher) -> Plan:
    """Try a recipe out and tell what its run in `out` will take; nothing is written there."""
    run, plan = RunDirectory(out), Plan()
    states = stage_states(recipe, run)
    trial = Trial(
        recipe, run, states.get("tokenizer") == "done", _trained_steps(recipe, run, states)
    )
    for name, state in states.items():
        if state == "done":
            plan.stages.append(Estimate(name, "done"))
            continue
        watcher.stage(name, "Trying it on a sample.")
        if name == "pretrain" and (problem := memory_problem(trial.config, recipe.pretrain.train)):
            plan.problems.append(problem)
            need = needed_bytes(trial.config, recipe.pretrain.train)
            plan.stages.append(Estimate(name, "todo", None, need, trial.model_disk()))
            break
        with PeakMemory() as memory:
            seconds, disk = trial.measure(name)
        held = memory.peak
        if name == "pretrain":  # of which the trial writes no checkpoint, or takes no whole step
            parts = training_bytes(trial.config, recipe.pretrain.train)
            held += copied_bytes(parts, recipe.pretrain.train)
            held += sum(parts.values()) if trial.reckoned_flops else 0
        plan.stages.append(Estimate(name, "todo", seconds, held, disk))
    _check_disk(plan, out)
    if states.get("pretrain") == "todo":
        _note_text(plan, trial)
    return plan


def stage_states(recipe: Recipe, run: RunDirectory) -> dict[str, str]:
    """Which stages are done; after the first that is not, all others are to do as well."""
    ledger, states = Ledger(run.ledger), {}
    for stage in stages(recipe, run):
        before_are_done = all(state == "done" for state in states.values())
        done = before_are_done and ledger.state(stage) == "done"
        states[stage.name] = "done" if done else "todo"
    return states


def _trained_steps(recipe: Recipe, run: RunDirectory, states: dict[str, str]) -> int:
    """How far an interrupted training came that goes on."""
    saved = checkpoints(run.pretrain / "checkpoints")
    begun = states.get("encode") == "done" and states.get("pretrain") == "todo" and saved
    if not begun or saved_identity(saved[-1]) != identity(recipe, run):
        return 0
    return int(saved[-1].name.removeprefix("step-"))


def _check_disk(plan: Plan, out: Path) -> None:
    there = next(path for path in (out, *out.absolute().parents) if path.exists())
    need, free = plan.disk_bytes, shutil.disk_usage(there).free
    if need > USABLE * free:
        plan.problems.append(
            N_(
                f"the run writes {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free on the disk of "
                f"{there}: choose another --out, or --pretrain.train.keep_checkpoints 1"
            )
        )


def _note_text(plan: Plan, trial: Trial) -> None:
    """Say how model and text fit together, where they do not."""
    tokens, size = trial.tokens, parameter_count(trial.config)
    if tokens < size:
        plan.notes.append(
            N_(
                f"{tokens:,.0f} tokens of text for {size:,} parameters: at {TOKENS_PER_PARAMETER} "
                f"tokens for each, this text trains {tokens / TOKENS_PER_PARAMETER:,.0f} from scratch. "
                "Choose a smaller --pretrain.preset, or go on from a model with --pretrain.begin_from"
            )
        )
    if trial.epochs > MOST_EPOCHS:
        plan.notes.append(
            N_(
                f"the text will be read {trial.epochs:.0f} times; beyond about {MOST_EPOCHS} a model "
                "learns little more from it (Muennighoff et al. 2023)"
            )
        )
