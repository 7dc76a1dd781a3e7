"""What a judge and people said about models, as results: scores, places, how far to trust the judge."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from groundup.evaluate.cases import answer_of
from groundup.evaluate.intervals import bootstrap, paired_difference, wilson
from groundup.evaluate.judge import Comparison, Judgement, Score
from groundup.evaluate.ranking import Ranked, rank
from groundup.evaluate.results import Figure, Result, Table
from groundup.evaluate.verdicts import Agreement, Verdict, agreement
from groundup.language import N_

SHOWN = 5
EXCERPT = 400


def judge_results(judgement: Judgement, scale: str) -> list[Result]:
    """Scores of each model, their places, and what is known about the judge itself."""
    results = _score_results(judgement.scores, N_(f"score ({scale})"))
    if judgement.comparisons:
        results += place_results(judgement.verdicts, N_(f"Places by the judge {judgement.judge}"))
    return [*results, _judge_itself(judgement)]


def place_results(verdicts: Sequence[Verdict], section: str) -> list[Result]:
    """The ranking of `verdicts`, a result for each model, the strongest first."""
    ranking = rank(verdicts)
    return [
        Result(
            section,
            ranked.name,
            [
                Figure("Elo points", ranked.points, ranked.interval, 0),
                Figure("place", ranked.rank, digits=0),
                Figure("won", ranked.wins, digits=0),
                Figure("tied", ranked.ties, digits=0),
                Figure("lost", ranked.losses, digits=0),
            ],
            verdict=_place(ranked, ranking),
            notes=[
                "Elo points are those of a Bradley–Terry model, around the mean of all; 400 more are ten "
                "wins to one. Two models share a place where neither is clearly stronger."
            ],
        )
        for ranked in ranking
    ]


def agreement_results(
    judged: Sequence[Verdict], voters: Mapping[str, Sequence[Verdict]]
) -> list[Result]:
    """How well the judge agrees with each of those who voted, and they with each other."""
    everybody = ({"the judge": judged} if judged else {}) | dict(voters)
    return [
        _agreement_result(f"{one} and {other}", agreement(everybody[one], everybody[other]))
        for one, other in combinations(everybody, 2)
    ]


def _score_results(scores: Iterable[Score], name: str) -> list[Result]:
    by_name: dict[str, list[Score]] = {}
    for score in scores:
        by_name.setdefault(score.name, []).append(score)
    return [
        Result(
            "Scores by the judge",
            model,
            [
                Figure(name, statistics.fmean(s.value for s in own), bootstrap([s.value for s in own]), 1),
                Figure("answers", len(own), digits=0),
            ],
            verdict=_ahead(model, by_name),
            tables=[_lowest(own)],
        )
        for model, own in by_name.items()
    ]  # fmt: skip


def _ahead(model: str, by_name: Mapping[str, Sequence[Score]]) -> str:
    """How the scores of a model stand to those of each other one, on the questions both have a score
    for."""
    said = []
    for other in by_name:
        if other == model:
            continue
        theirs = {id(score.case): score.value for score in by_name[other]}
        both = [(theirs[id(s.case)], s.value) for s in by_name[model] if id(s.case) in theirs]
        if both:
            found = paired_difference([a for a, _ in both], [b for _, b in both])
            low, high = found.interval
            by = f"{abs(found.mean):.1f}"
            if not found.is_clear:
                said.append(N_(f"no difference to {other} shown"))
            elif found.mean > 0:
                said.append(N_(f"ahead of {other} by {by} (difference {low:+.1f} to {high:+.1f})"))
            else:
                said.append(N_(f"behind {other} by {by} (difference {low:+.1f} to {high:+.1f})"))
    return "; ".join(said)


def _lowest(scores: Sequence[Score]) -> Table:
    lowest = sorted(scores, key=lambda score: score.value)[:SHOWN]
    rows = [
        (f"{s.value:g}", s.case.question[:EXCERPT], answer_of(s.case, s.name)[:EXCERPT], s.reason[:EXCERPT])
        for s in lowest
    ]  # fmt: skip
    return Table("lowest scores", ("score", "question", "answer", "the judge's words"), rows)


def _place(ranked: Ranked, ranking: Sequence[Ranked]) -> str:
    shared = sum(other.rank == ranked.rank for other in ranking) > 1
    place, places = ranked.rank, len(ranking)
    return N_(f"place {place} of {places}, shared" if shared else f"place {place} of {places}")


def _judge_itself(judgement: Judgement) -> Result:
    """How far to trust it: what of its verdicts came from the order alone, and what it said that was no
    verdict."""
    asked = [c for c in judgement.comparisons if c.reasons != ("", "")]
    swayed = [c for c in asked if c.depends_on_order]
    figures = [Figure("malformed replies", len(judgement.malformed), digits=0)]
    verdict = ""
    if asked:
        share = Figure(
            "winner depends on the order", len(swayed) / len(asked), wilson(len(swayed), len(asked))
        )
        figures = [share, Figure("pairs in both orders", len(asked), digits=0), *figures]
        verdict = _sway(swayed, len(asked))
    malformed = [(m.where, m.about, m.reply[:EXCERPT]) for m in judgement.malformed[:SHOWN]]
    tables = [Table("malformed replies", ("row", "asked", "reply"), malformed)] if malformed else []
    notes = [
        N_(
            "Every pair was judged in both orders, without names. Where the winner depends on the order, "
            "there is none: the pair is a tie."
        )
    ]
    return Result(
        "The judge itself", judgement.judge, figures, [], verdict, tables, notes if asked else []
    )


def _sway(swayed: Sequence[Comparison], asked: int) -> str:
    first, second = (sum(c.said == (place, place) for c in swayed) for place in "AB")
    if not swayed:
        return N_(f"In {len(swayed)} of {asked} pairs the winner depends on the order.")
    return N_(
        f"In {len(swayed)} of {asked} pairs the winner depends on the order: in {first} it was the one "
        f"shown first, in {second} the one shown second, and in {len(swayed) - first - second} one order "
        "had a winner and the other none."
    )


def _agreement_result(subject: str, found: Agreement) -> Result:
    figures = [Figure("agreement", found.share, found.share_interval)]
    if found.kappa is not None:
        figures.append(Figure("Cohen's kappa", found.kappa, found.kappa_interval))
    figures.append(Figure("pairs in common", found.pairs, digits=0))
    verdict = ""
    if found.kappa_interval is not None and found.kappa_interval.low <= 0:
        verdict = N_("no agreement beyond chance is shown")
    return Result(
        "Agreement",
        subject,
        figures,
        verdict=verdict,
        notes=["Cohen's kappa is 1 for perfect agreement and 0 for what chance alone would give."],
    )
