"""Who wants to see what happens: the stages report to a `Watcher`, and print nothing themselves."""

from typing import Any

from groundup.train.loop import Run


class Watcher:
    """Looks at nothing. The command line has one that draws on the terminal."""

    def stage(self, title: str, why: str) -> None:
        """A stage begins: what it does and why, in a line each."""

    def skipped(self, title: str) -> None:
        """A stage is done already, from the same inputs."""

    def warned(self, text: str) -> None:
        """Something that the user should know, and that does not stop the work."""

    def advanced(self, done: int, total: int | None) -> None:
        """The stage has got so far."""

    def stepped(self, run: Run) -> None:
        """A training step is over."""

    def evaluated(self, row: dict[str, Any]) -> None:
        """An evaluation is over: its row of `metrics.jsonl`."""
