"""Long work as it is seen on standard error: stages, a live line of training, evaluations, and what came
of it."""

import time
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from groundup.evaluate.results import markdown
from groundup.language import N_, shown
from groundup.model.cost import training_flops_per_token
from groundup.recipe.finished import Finished
from groundup.recipe.watch import Watcher
from groundup.train.loop import Run
from groundup.train.metrics import matrix_peak
from groundup.weights.directory import find_family

# Where nobody looks live (a log file), a line of progress so many seconds.
SECONDS_BETWEEN_LINES = 15
# What an evaluation's row says beside its figures.
PLACE = ("step", "seconds")
SPENT = {
    "data": N_("getting batches"),
    "compute": N_("computing"),
    "communication": N_("waiting for other processes"),
    "checkpoint": N_("checkpoints"),
    "evaluation": N_("evaluation"),
    "other": N_("the rest"),
}


class ConsoleWatcher(Watcher):
    """Draws a progress bar on a terminal, and prints lines now and then elsewhere."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=30), TextColumn("{task.fields[at]}"),
            TimeRemainingColumn(), console=self.console, transient=True,
        )  # fmt: skip
        self.task: TaskID | None = None
        self.peak: float | None = None
        self.last_line = 0.0

    def __enter__(self) -> "ConsoleWatcher":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def stage(self, title: str, why: str) -> None:
        if self.task is not None:
            self.progress.remove_task(self.task)
        self.console.print(f"\n[bold cyan]{shown(title).capitalize()}[/]  {shown(why)}")
        self.task = self.progress.add_task(shown(title), total=None, at="")

    def skipped(self, title: str) -> None:
        self.console.print(
            f"\n[bold cyan]{shown(title).capitalize()}[/]  [dim]{shown('done already')}[/]"
        )

    def warned(self, text: str) -> None:
        self.console.print(f"[yellow]{shown('warning')}:[/] {escape(shown(text))}", soft_wrap=True)

    def advanced(self, done: int, total: int | None) -> None:
        if self.task is not None:
            self.progress.update(self.task, completed=done, total=total, at=f"{done:,}")

    def stepped(self, run: Run) -> None:
        if self.peak is None:
            self.peak = matrix_peak()
        state = run.state
        speed = state.tokens / max(state.seconds, 1e-9)
        share = speed * training_flops_per_token(run.model.config) / self.peak
        at = shown(
            f"step {state.step:,}  loss {run.loss:.3f}  {speed:,.0f} tokens/s  "
            f"{share:.0%} of the machine's matrix peak"
        )
        if self.task is not None:
            self.progress.update(self.task, completed=run.progress, total=1.0, at=at)
        if (
            not self.console.is_terminal
            and time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES
        ):
            self.last_line = time.monotonic()
            self.console.print(f"  {run.progress:4.0%}  {at}")

    def evaluated(self, row: dict[str, Any]) -> None:
        figures = [_shown(n, v) for n, v in row.items() if n not in PLACE and isinstance(v, float)]
        self.console.print(f"[green]  {shown('step')} {row['step']:,}  {'  '.join(figures)}[/]")
        if "sample" in row:
            sample = " ".join(row["sample"].split())
            self.console.print(f"  [dim]{shown('it says')}:[/] {escape(sample[:300])}")

    def made(self, finished: Finished) -> None:
        """What was measured, where the model and its report are, and who else can load it."""
        if finished.results:
            self.console.print(f"\n{markdown(finished.results)}", markup=False, soft_wrap=True)
        if finished.pretrained and (spent := finished.pretrained.time_shares):
            self.console.print(f"\n{where_the_time_went(spent)}", soft_wrap=True)
        model, report = finished.model, finished.run.report
        self.console.print(shown(f"\nmodel: {model}   report: {report}"), soft_wrap=True)
        family = find_family(model)
        if family is None:
            self.console.print(
                shown("its kind (model_type groundup) is groundup's own: only groundup loads it")
            )
        else:
            self.console.print(
                shown(f"its kind is {family.model_type}: transformers and vLLM load it as well")
            )


def where_the_time_went(spent: dict[str, float]) -> str:
    """The shares that are not nothing, the largest first."""
    by_share = sorted(spent.items(), key=lambda each: -each[1])
    parts = [f"{shown(SPENT[kind])} {share:.0%}" for kind, share in by_share if share >= 0.005]
    return f"{shown('where the time went')}: {', '.join(parts)}"


def _shown(name: str, value: float) -> str:
    """A figure with its name in words: "validation bits per byte 1.234"."""
    return f"{shown(name.replace('val_', 'validation ').replace('_', ' '))} {value:.3f}"
