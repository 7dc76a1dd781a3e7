"""A page where people say which of two answers is better, and what they said, read back.

One HTML file without network. It holds no model's name, and which answer is A is drawn for each pair. A
vote says by a hash which answer stood as A, so it can be read back beside the same answers whatever page
it was given on.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

from groundup import page
from groundup.errors import InputError
from groundup.evaluate.cases import Case, answer_of, contestants
from groundup.evaluate.judge import in_drawn_order
from groundup.evaluate.verdicts import Verdict, digest
from groundup.language import N_
from groundup.sources.rows import BadRows

KIND = "groundup votes"
TITLE = "Which answer is better? 哪个回答更好？"
STYLE = """
body { max-width: 70rem } .answers { display: flex; gap: 1rem } .answers > div { flex: 1; min-width: 0 }
pre { font: inherit; margin: 0 } button { font: inherit; padding: .4rem 1.2rem; margin: .2rem }
button.chosen { outline: 3px solid #4a7 } @media (max-width: 40rem) { .answers { display: block } }
"""
BODY = """
<p id="about"></p>
<p><b id="at"></b> <button id="language">中文 / English</button></p>
<pre id="question"></pre>
<div class="answers"><div><h2>A</h2><pre id="A"></pre></div><div><h2>B</h2><pre id="B"></pre></div></div>
<p><button data-vote="A"></button><button data-vote="tie"></button><button data-vote="B"></button></p>
<p><button id="back">←</button><button id="on">→</button><button id="download"></button></p>
"""


@dataclass(frozen=True)
class Ballot:
    """Two different answers to a question, as they are shown."""

    question: str
    a: str
    b: str

    @property
    def id(self) -> str:
        """The same whichever answer is A."""
        return digest("\0".join([self.question, *sorted((self.a, self.b))]))


def write_vote_page(cases: Sequence[Case], seed: int) -> str:
    """The page for all pairs of different answers to `cases`, in an order drawn by `seed`.

    Raises `InputError` if there is no such pair.
    """
    ballots = list({ballot.id: ballot for ballot, *_ in _ballots(cases, seed)}.values())
    if not ballots:
        if not any(len(contestants(case)) > 1 for case in cases):
            fix = N_("give two models, or one model and rows with an output")
            raise InputError("there is nothing to compare the answers with", None, fix)
        fix = N_("take more questions (--judge.rows), or models that differ more")
        raise InputError(f"all answers to {len(cases):,} questions are equal", None, fix)
    random.Random(seed).shuffle(ballots)
    pairs = [
        {"pair": b.id, "question": b.question, "A": b.a, "B": b.b, "a": digest(b.a)}
        for b in ballots
    ]
    data = {
        "kind": KIND,
        "page": digest("".join(b.id + digest(b.a) for b in ballots)),
        "pairs": pairs,
    }
    script = files("groundup.evaluate").joinpath("vote_page.js").read_text(encoding="utf-8")
    return page.page(TITLE, [BODY, _data(data), f"<script>{script}</script>"], STYLE)


def read_votes(path: Path, cases: Sequence[Case], bad: BadRows) -> list[Verdict]:
    """The votes in a file that the page gave, as verdicts about the models of `cases`. A vote about
    answers that are not among them goes to `bad`. Raises `InputError` if it is no such file, or if no vote
    is about these."""
    models: dict[str, list[tuple[Ballot, str, str]]] = {}
    for ballot, first, second in _ballots(cases, seed=0):
        models.setdefault(ballot.id, []).append((ballot, first, second))
    verdicts = []
    for number, vote in enumerate(_votes(path), start=1):
        where = f"{path}, vote {number}"
        if vote["pair"] not in models:
            bad.add(where, N_("it is about answers that are not here"))
        for ballot, first, second in models.get(vote["pair"], []):
            if vote["a"] == digest(ballot.b):
                first, second = second, first
            winner = {"A": first, "B": second, "tie": None}[vote["vote"]]
            verdicts.append(Verdict(ballot.question, first, second, winner))
    if not verdicts:
        fix = N_("give the same --data, models and answers as when the page was written")
        raise InputError("no vote is about answers that are here", str(path), fix)
    return verdicts


def _ballots(cases: Sequence[Case], seed: int) -> Iterator[tuple[Ballot, str, str]]:
    """Every pair of different answers, with the names of the models that gave A and B. Models that gave
    the same answers share a ballot's id."""
    for case in cases:
        for names in combinations(contestants(case), 2):
            first, second = in_drawn_order(case, names, seed)
            a, b = answer_of(case, first), answer_of(case, second)
            if a != b:
                yield Ballot(case.question, a, b), first, second


def _data(content: dict[str, Any]) -> str:
    """Data for the page's script. Without "<", no text in it can end the element."""
    written = json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="data">{written}</script>'


def _votes(path: Path) -> list[dict[str, str]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        votes = content["votes"]
        if content["kind"] == KIND and all(_is_vote(vote) for vote in votes):
            return votes
    except OSError as error:
        raise InputError(f"cannot read the votes: {error.strerror}", str(path)) from None
    except (ValueError, KeyError, TypeError):
        pass
    fix = N_("give the file that the page of --vote-page lets one download")
    raise InputError("this is no file of votes", str(path), fix)


def _is_vote(vote: Any) -> bool:
    """True if it has the three parts, and a choice that can be made."""
    return {"pair", "a", "vote"} <= set(vote) and vote["vote"] in ("A", "B", "tie")
