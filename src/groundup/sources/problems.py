"""What is wrong with a file: one description, which either stops the reading or is only noted.

Whoever reads documents chooses: without a `Report` of their own the first problem is raised as an
`InputError`; with one it is told and reading goes on with the next row or file. Readers say "this
row is bad" by calling the report, and "nothing more can be read of this file" by raising
`UnreadableError`, since only the outermost loop can go on with another file.
"""

from collections.abc import Callable
from dataclasses import dataclass

from groundup.errors import InputError


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in the text to read.

    `kind` is a short name that stays the same ("bad_json", "binary", "cut_file", …), `file` is as
    the user named it, `line` its line or row where there is one, `text` says what happened, with
    the offending excerpt, and `fix` what to do.
    """

    kind: str
    file: str
    line: int | None
    text: str
    fix: str

    @property
    def where(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


class UnreadableError(InputError):
    """Nothing, or nothing more, can be read of a file; `problem` says why."""

    def __init__(self, problem: Problem):
        super().__init__(problem.text, problem.where, problem.fix)
        self.problem = problem


Report = Callable[[Problem], None]


def refuse(problem: Problem) -> None:
    """The report of those who want no text at all rather than a part of it: raises."""
    raise UnreadableError(problem)
