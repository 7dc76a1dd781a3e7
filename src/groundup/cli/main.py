"""`groundup VERB …`: find the verb, run it, turn what went wrong into a sentence and a status.

Nothing heavy is imported here: `groundup --help` answers at once, and each verb's module is loaded
only when it is called.
"""

import _thread
import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import FrameType

from groundup.errors import GroundupError, InputError, LostProcessError, nearest
from groundup.language import LANGUAGES, N_, shown, use_language

VERBS = {
    "quickstart": N_("build a small model from nothing in five minutes and talk to it"),
    "plan": N_("what a recipe's run will take on this machine"),
    "run": N_("carry out a recipe: from text to a measured model"),
    "data": N_("what a text is like: duplicates, personal data, leaks, problems"),
    "tokenizer": N_("learn a vocabulary; turn text into token ids and back"),
    "pretrain": N_("train a model on text"),
    "finetune": N_("give a model a job: labels, instructions, preferences, questions"),
    "classify": N_("which label belongs to a text"),
    "evaluate": N_("measure a model: texts, exams, labels, tasks, a judge"),
    "compress": N_("make a model smaller: quantise it, prune it, distil it into another"),
    "generate": N_("continue a prompt"),
    "chat": N_("talk to a model"),
    "serve": N_("a model at work, for OpenAI's clients"),
    "convert": N_("write a model for transformers or llama.cpp, and prove that it is the same"),
    "inspect": N_("what a model is made of, and what it costs"),
    "lab": N_("write a language model's parts yourself, and train it on them"),
    "doctor": N_("what is wrong with this machine, or with a run, and what to do"),
}
# What several processes can do together, under torchrun.
TOGETHER = ("pretrain", "finetune", "run")
# What argparse says by itself.
OWN_WORDS = (
    N_("positional arguments"), N_("options"), N_("show this help message and exit"),
    N_("the following arguments are required: {0}"), N_("{0}: expected one argument"),
    N_("{0}: expected at least one argument"), N_("{0}: ignored explicit argument {1}"),
    N_("{0}: invalid choice: {1} (choose from {2})"), N_("{0}: invalid {1} value: {2}"),
    N_("one of the arguments {0} is required"), N_("{0}: not allowed with argument {1}"),
)  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """The command's entry point: exits with 0 done, 1 failed, 2 wrong input, 130 interrupted."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    status = run(sys.argv[1:] if arguments is None else arguments)
    told = _status_file()
    sys.exit(0 if told and told.is_file() else status)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Ctrl-C, as always but in the middle of an import: half of a module fails in its own way, or the
    library that imports it goes on without, so the import is let finish first."""
    if _is_importing(frame):
        again = threading.Timer(0.02, _thread.interrupt_main)
        again.daemon = True
        again.start()
    else:
        raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_globals.get("__name__") != "importlib._bootstrap":
        frame = frame.f_back
    return frame is not None


def run(arguments: list[str]) -> int:
    """Run a command line and return its exit status."""
    try:
        arguments = _without_language(arguments)
    except GroundupError as error:
        return _fail(error.told(shown), error.exit_status)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"groundup {version('groundup')}")
        return 0
    verb, *rest = arguments
    if verb not in VERBS:
        close = nearest(verb, VERBS)
        hint = f"did you mean `groundup {close}`?" if close else "see `groundup --help`"
        return _fail(InputError(f"unknown command {verb!r}", None, hint).told(shown), 2)
    try:
        module = importlib.import_module(f"groundup.cli.{verb}")
        with _processes(verb), _told_to_launcher():
            module.main(rest)
    except GroundupError as error:
        return _fail(error.told(shown), error.exit_status)
    except KeyboardInterrupt:
        return _fail(shown("interrupted"), 130)
    except BrokenPipeError:  # the reader of our output has left: nobody is there to be told
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _processes(verb: str) -> AbstractContextManager[None]:
    """Those that torchrun has started, where it has."""
    if verb not in TOGETHER or os.environ.get("WORLD_SIZE", "1") == "1":
        return nullcontext()
    from groundup.train.processes import joined_processes

    return joined_processes()


@contextmanager
def _told_to_launcher() -> Iterator[None]:
    """Of several processes that `recipe/launch.py` has started, let none be started again where that would
    not help: it is told how the command ends, and all of them end as if all were well."""
    try:
        yield
    except LostProcessError:
        raise
    except (GroundupError, KeyboardInterrupt) as error:
        if told := _status_file():
            told.write_text(str(getattr(error, "exit_status", 130)))
        raise


def _status_file() -> Path | None:
    told = os.environ.get("GROUNDUP_STATUS_FILE")
    return Path(told) if told else None


def _without_language(arguments: list[str]) -> list[str]:
    """The arguments without `--lang`, which every command has; what it says is used from here on."""
    for place, argument in enumerate(arguments):
        if argument == "--lang" or argument.startswith("--lang="):
            _, joined, value = argument.partition("=")
            after = place + (1 if joined else 2)
            use_language(value if joined else "".join(arguments[place + 1 : after]))
            return arguments[:place] + arguments[after:]
    return arguments


def overview() -> str:
    """The text of `groundup --help`."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {shown(about)}" for verb, about in VERBS.items()]
    return "\n".join(
        [
            shown("groundup: build a large language model from the ground up."),
            "",
            shown("usage: groundup COMMAND [options]      groundup COMMAND --help for each"),
            "",
            *lines,
            "",
            shown("--lang en or zh: the language of all that is said; otherwise your own"),
            "",
            shown("example: groundup quickstart"),
        ]
    )


def _fail(message: str, status: int) -> int:
    if os.environ.get("RANK", "0") != "0":  # of several processes the first one speaks
        return status
    print(f"{shown('error')}: {message}", file=sys.stderr)
    return status


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """argparse's, in the reader's language."""

    def add_usage(self, usage, actions, groups, prefix=None) -> None:
        super().add_usage(usage, actions, groups, prefix or f"{shown('usage')}: ")

    def start_section(self, heading: str | None) -> None:
        super().start_section(heading and shown(heading))

    def add_text(self, text: str | None) -> None:
        super().add_text(text and shown(text))

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help and shown(action.help)

    def _split_lines(self, text: str, width: int) -> list[str]:
        """Chinese has no spaces to break a line at, and its characters are two columns wide."""
        if text.isascii():
            return super()._split_lines(text, width)
        from rich.cells import chop_cells

        return [line.strip() for line in chop_cells(" ".join(text.split()), width)]


class Parser(argparse.ArgumentParser):
    """argparse with groundup's errors: the nearest flag is named, and the status is 2."""

    def __init__(self, verb: str, example: str, **options: object):
        super().__init__(
            prog=f"groundup {verb}", allow_abbrev=False, epilog=N_(f"example: {example}"),
            formatter_class=HelpFormatter, **options,  # type: ignore[arg-type]
        )  # fmt: skip
        # Taken by `run` before any command sees it.
        self.add_argument(
            "--lang", choices=LANGUAGES, help="the language of what is said (your own)"
        )

    def parse(self, arguments: list[str]) -> argparse.Namespace:
        parsed, unknown = self.parse_known_args(arguments)
        if unknown:
            flag = unknown[0].split("=")[0]
            close = nearest(flag, self._option_string_actions)
            hint = f"did you mean {close}? " if close else ""
            self.error(f"unknown argument {unknown[0]!r}\n  fix: {hint}see {self.prog} --help")
        if vars(parsed).get("out") == "":
            self.error("--out is empty\n  fix: name a folder")
        return parsed

    def error(self, message: str) -> None:  # type: ignore[override]
        sys.exit(_fail(shown(message.removeprefix("argument ")), 2))


if __name__ == "__main__":
    main()
