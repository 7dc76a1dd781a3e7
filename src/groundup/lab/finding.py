"""What came of trying a learner's part."""

from typing import Literal, NamedTuple

SECONDS = 10
"""A part that takes longer is taken to be without end."""


class Finding(NamedTuple):
    """What is wrong with a part, or that nothing is."""

    status: Literal["passed", "blank", "wrong"]
    message: str = ""
    """What is wrong, in the learner's language."""
    line: int | None = None
    """Where in the learner's file, if it is known."""
    code: str = ""
    """That line."""
    diagnosis: str | None = None
    """The typical mistake that gives the same, if there is one."""
    call: str = ""
    """How the part was called, or what with."""
    hint: str | None = None
    """The first one, in the learner's language."""
