"""What the doctor says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """`kind`: a name that scripts can rely on; `what` is wrong; `evidence`: a number, and where it
    stands; `fix`: what to do."""

    kind: str
    what: str
    evidence: str
    fix: str
