"""The part of `groundup evaluate` about answers that are judged, and about what a model recites."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from groundup.cli.flags import add_settings, given_settings, typed
from groundup.cli.main import Parser
from groundup.errors import InputError
from groundup.language import shown

if TYPE_CHECKING:  # `--help` loads no torch
    from groundup.cli.console import ConsoleWatcher
    from groundup.evaluate.cases import Case
    from groundup.evaluate.results import Result
    from groundup.evaluate.verdicts import Verdict
    from groundup.sources.rows import BadRows


def add_arguments(parser: Parser) -> None:
    """The flags of judging, voting and memorisation."""
    from groundup.evaluate.config import JudgeConfig, MemorisationConfig

    judging = parser.add_argument_group(
        "judging", "Answers of the models, judged by a model or by people."
    )
    judging.add_argument(
        "--judge",
        metavar="URL",
        help="a server that speaks OpenAI's protocol: http://localhost:11434/v1",
    )
    judging.add_argument(
        "--data", nargs="+", metavar="FILE", help="rows of instruction, input and output to answer"
    )
    judging.add_argument(
        "--answers", nargs="+", default=[], metavar="NAME",
        help="answers that are written already: fields of these rows, or files of rows",
    )  # fmt: skip
    judging.add_argument(
        "--max-new-tokens", type=typed("--max-new-tokens"), help="longest answer of a model (256)"
    )
    judging.add_argument(
        "--keep", default="judged.jsonl", metavar="FILE",
        help="keeps answers and replies, so that a second run goes on (judged.jsonl)",
    )  # fmt: skip
    judging.add_argument("--vote-page", metavar="FILE", help="write a page where people judge")
    judging.add_argument(
        "--votes", nargs="+", default=[], metavar="FILE", help="votes downloaded from that page"
    )
    add_settings(parser, "judge", JudgeConfig)
    reciting = parser.add_argument_group("memorisation", "How much training text a model recites.")
    reciting.add_argument("--memorisation", nargs="+", metavar="FILE", help="training text")
    reciting.add_argument(
        "--against", nargs="+", metavar="FILE", help="text that it never saw, as a control"
    )
    add_settings(parser, "memorisation", MemorisationConfig)


def is_asked_for(parsed: Namespace) -> bool:
    """Whether there is anything to do of this part."""
    return bool(parsed.judge or parsed.vote_page or parsed.votes or parsed.memorisation)


def run(parsed: Namespace, models: list[str]) -> list["Result"]:
    """Carry out what was asked for of this part; nothing if nothing was."""
    from groundup.cli.console import ConsoleWatcher

    results = []
    if not is_asked_for(parsed):
        return results
    with ConsoleWatcher() as watcher:
        if parsed.judge or parsed.vote_page or parsed.votes:
            results += _judged(parsed, models, watcher)
        if parsed.memorisation:
            results += _memorisation(parsed, models)
    return results


def _judged(parsed: Namespace, models: list[str], watcher: "ConsoleWatcher") -> list["Result"]:
    from groundup.evaluate.answers import let_answer
    from groundup.evaluate.cases import complete_cases, drawn, names_of, read_cases
    from groundup.evaluate.config import JudgeConfig
    from groundup.evaluate.judge import judge, reach
    from groundup.evaluate.judge_results import judge_results
    from groundup.evaluate.kept import Kept
    from groundup.generation.sampling import SamplingConfig
    from groundup.sources.rows import BadRows

    config = JudgeConfig.parse(given_settings(parsed).get("judge", {}), "command line")
    longest = SamplingConfig.parse({"max_new_tokens": parsed.max_new_tokens or 256}).max_new_tokens
    if not parsed.data:
        raise InputError("there are no questions", None, "give rows with --data FILE")
    names = names_of(models, parsed.answers)
    name = reach(parsed.judge, config) if parsed.judge else ""
    bad, results, verdicts = BadRows(), [], []
    with Kept(Path(parsed.keep)) as kept:
        watcher.stage("answers", "Every model answers the questions.")
        cases = drawn(read_cases(parsed.data, parsed.answers, bad), config.rows, config.seed)
        for model in models:
            let_answer(cases, model, longest, kept, watcher.warned)
        cases = complete_cases(cases, names, bad)
        if parsed.judge:
            watcher.stage("judging", f"{name} judges the answers.")
            judgement = judge(parsed.judge, cases, config, kept, watcher.advanced)
            results, verdicts = judge_results(judgement, config.scale), judgement.verdicts
    results += _people(parsed, cases, verdicts, config.seed, bad, watcher)
    if bad:
        watcher.warned(bad.summary(len(cases)))
    return results


def _people(
    parsed: Namespace,
    cases: list["Case"],
    verdicts: list["Verdict"],
    seed: int,
    bad: "BadRows",
    watcher: "ConsoleWatcher",
) -> list["Result"]:
    """Write the page for voting, and read back what was voted."""
    from groundup.evaluate.judge_results import agreement_results, place_results
    from groundup.evaluate.vote_page import read_votes, write_vote_page
    from groundup.files import atomic_file

    if parsed.vote_page:
        with atomic_file(parsed.vote_page) as file:
            file.write(write_vote_page(cases, seed))
        watcher.console.print(
            shown(f"\nvote page: {parsed.vote_page}: open it in a browser, say which answers are "
            "better, and give "
            "the file that it downloads to --votes"),
            markup=False, soft_wrap=True,
        )  # fmt: skip
    voters = {path: read_votes(Path(path), cases, bad) for path in parsed.votes}
    results = []
    for voter, votes in voters.items():
        results += place_results(votes, f"Places by {voter}")
    return results + agreement_results(verdicts, voters)


def _memorisation(parsed: Namespace, models: list[str]) -> list["Result"]:
    from groundup.evaluate.memorisation import (
        MemorisationConfig,
        measure_memorisation,
        memorisation_result,
    )
    from groundup.sources.read import read_pieces
    from groundup.weights.directory import load

    given = given_settings(parsed).get("memorisation", {})
    config = MemorisationConfig.parse(given, "command line")
    if not models:
        raise InputError("nobody is there to recite", None, "name a model")
    results = []
    for name in models:
        held_out = read_pieces(parsed.against) if parsed.against else []
        found = measure_memorisation(
            *load(name), read_pieces(parsed.memorisation), held_out, config
        )
        results.append(memorisation_result(name, found))
    return results
