"""`groundup evaluate`"""

import argparse

from groundup.cli.flags import typed
from groundup.cli.main import Parser


def main(arguments: list[str]) -> None:
    from groundup.cli.flags import add_settings
    from groundup.evaluate.cloze import ClozeConfig

    parser = Parser(
        "evaluate",
        "groundup evaluate runs/law/pretrain/model --exam law-exam.json --base runs/base/model",
        description="Measure a model: on text, in an exam, by tasks of lm-evaluation-harness.",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="a model directory, a .gguf file or a hub id"
    )
    parser.add_argument("--text", nargs="+", metavar="FILE", help="text to predict")
    parser.add_argument(
        "--stride", type=typed("--stride"), help="tokens from window to window (half)"
    )
    exam = parser.add_mutually_exclusive_group()
    exam.add_argument(
        "--exam", nargs="+", metavar="FILE", help="questions with choices and answers"
    )
    exam.add_argument(
        "--build-exam", nargs="+", metavar="DOCS",
        help="documents held out of training, or a run directory, to make a cloze exam of",
    )  # fmt: skip
    parser.add_argument(
        "--ask", choices=["text", "letter"], default="text",
        help="answer with a choice's words, or with its letter (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--base", metavar="MODEL", help="the model to compare with in the exam")
    parser.add_argument(
        "--train-text", "--against-text", nargs="+", metavar="FILE",
        help="the text of training: for the n-gram baseline, and for leaks into a built exam",
    )  # fmt: skip
    parser.add_argument(
        "--tasks", nargs="+", metavar="TASK",
        help="tasks of lm-evaluation-harness: names, .yaml files, folders",
    )  # fmt: skip
    parser.add_argument("--limit", type=typed("--limit"), help="only so many questions of each")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    add_settings(parser, "cloze", ClozeConfig)
    parsed = parser.parse(arguments)
    if not (parsed.text or parsed.exam or parsed.build_exam or parsed.tasks):
        parser.error("nothing to measure\n  fix: give --text, --exam, --build-exam or --tasks")
    run(parsed)


def run(parsed: argparse.Namespace) -> None:
    """Measure everything that was asked for, with one model in memory."""
    from groundup.cli.console import ConsoleWatcher, print_json
    from groundup.evaluate.subject import LocalModel
    from groundup.weights.directory import load

    counts = _counts(parsed)
    with ConsoleWatcher() as watcher:
        watcher.stage("loading", parsed.model)
        subject = LocalModel(*load(parsed.model), progress=watcher.advanced)
        measured = [measure(parsed, counts, subject, watcher) for measure in _asked_for(parsed)]
    if parsed.json:
        print_json({name: value for each in measured for name, value in each.figures.items()})
    else:
        print("\n".join(line for each in measured for line in each.lines))


def _asked_for(parsed: argparse.Namespace) -> list:
    kinds = {_text: parsed.text, _exam: parsed.exam or parsed.build_exam, _tasks: parsed.tasks}
    return [measure for measure, given in kinds.items() if given]


def _text(parsed: argparse.Namespace, counts, subject, watcher):
    from groundup.recipe.measure import measure_text

    watcher.stage("text", "How many bits the model needs for each byte.")
    return measure_text(subject, parsed.text, counts.stride)


def _exam(parsed: argparse.Namespace, counts, subject, watcher):
    from groundup.cli.flags import given_settings
    from groundup.evaluate.cloze import ClozeConfig
    from groundup.evaluate.subject import LocalModel, Scorer
    from groundup.recipe import measure
    from groundup.weights.directory import load

    watcher.stage("exam", "Which choice the model finds likeliest.")
    train = parsed.train_text or []
    if parsed.exam:
        exam = measure.exam_from_files(parsed.exam)
    else:
        config = ClozeConfig.parse(given_settings(parsed).get("cloze", {}), "command line")
        exam = measure.exam_from_documents(parsed.build_exam, train, config)
    baselines: dict[str, Scorer] = {}
    if train:
        baselines["n-gram model"] = measure.n_gram_of(train)
    if parsed.base:
        baselines["base model"] = LocalModel(*load(parsed.base), progress=watcher.advanced)
    return measure.measure_exam(subject, exam.first(counts.limit), baselines, parsed.ask)


def _tasks(parsed: argparse.Namespace, counts, subject, watcher):
    from groundup.recipe.measure import measure_tasks

    watcher.stage("tasks", "Tasks of lm-evaluation-harness.")
    return measure_tasks(subject, parsed.tasks, counts.limit)


def _counts(parsed: argparse.Namespace):
    """The numbers among the flags, checked."""
    from groundup.recipe.measure import Counts

    given = {"stride": parsed.stride, "limit": parsed.limit}
    return Counts.parse({name: n for name, n in given.items() if n is not None}, "command line")
