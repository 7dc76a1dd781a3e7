"""What the user reads when something is wrong: what happened, where, and what to do.

The command line prints these as three short lines and exits with `exit_status`; a script catches
`GroundupError`. Anything else that reaches the user is a bug of ours.
"""

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path


class GroundupError(Exception):
    """Something failed. `what` happened, `where` (file and line, tensor, field), how to `fix` it."""

    exit_status = 1

    def __init__(self, what: str, where: str | None = None, fix: str | None = None):
        super().__init__(what)
        self.what, self.where, self.fix = what, where, fix

    def __str__(self) -> str:
        return self.told(str)

    def told(self, shown: Callable[[str], str]) -> str:
        """The whole message, with each of its texts as `shown` has it (`groundup.language`)."""
        lines = [shown(self.what)]
        if self.where:
            lines.append(f"  {shown('where')}: {shown(self.where)}")
        if self.fix:
            lines.append(f"  {shown('fix')}: {shown(self.fix)}")
        return "\n".join(lines)


class InputError(GroundupError):
    """The user's input is wrong: a flag, a setting, a file of theirs. Nothing was begun."""

    exit_status = 2


class CorruptFileError(GroundupError):
    """A file that we once wrote is cut, changed or not what its name says."""


class TrainingError(GroundupError):
    """Training cannot go on (a NaN loss, for example); the last good checkpoint is kept."""


class LostProcessError(GroundupError):
    """Another process of the training has ended or is silent: started again, the same may go well."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None when nothing is alike."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def unknown(kind: str, name: str, known: Iterable[str], where: str | None = None) -> InputError:
    """The error for a name outside a closed set, with the nearest one and the whole set."""
    known = sorted(known)
    suggestion = nearest(name, known)
    fix = f"did you mean {suggestion!r}? " if suggestion else ""
    return InputError(f"unknown {kind} {name!r}", where, f"{fix}known: {', '.join(known)}")


def no_such(
    kind: str, path: Path, beside: Iterable[Path], fix: str = "check the path"
) -> InputError:
    """The error for a path where nothing is, with the one of `beside` that has the most similar name:
    the suffix does not count, as all text files have it in common."""
    by_stem = {other.stem: other for other in beside}
    close = nearest(path.stem, by_stem)
    hint = f"did you mean {by_stem[close]}?" if close else fix
    return InputError(f"there is no such {kind}", str(path), hint)


class StoppedError(GroundupError):
    """The user stopped the work; the state is saved."""

    exit_status = 130
