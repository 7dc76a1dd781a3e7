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
from types import FrameType

from groundup.errors import GroundupError, nearest

VERBS = {
    "quickstart": "build a small model from nothing in five minutes and talk to it",
    "plan": "what a recipe's run will take on this machine",
    "run": "carry out a recipe: from text to a measured model",
    "data": "what a text is like: duplicates, personal data, leaks, problems",
    "tokenizer": "learn a vocabulary; turn text into token ids and back",
    "pretrain": "train a model on text",
    "finetune": "give a model a job: labels, instructions, preferences, questions",
    "classify": "which label belongs to a text",
    "evaluate": "measure a model: texts, exams, labels, tasks, a judge",
    "compress": "make a model smaller: quantise it, prune it, distil it into another",
    "generate": "continue a prompt",
    "chat": "talk to a model",
    "serve": "a model at work, for OpenAI's clients",
    "convert": "write a model for transformers or llama.cpp, and prove that it is the same",
    "inspect": "what a model is made of, and what it costs",
    "lab": "write a language model's parts yourself, and train it on them",
    "doctor": "what is wrong with this machine, or with a run, and what to do",
}


def main(arguments: list[str] | None = None) -> None:
    """The command's entry point: exits with 0 done, 1 failed, 2 wrong input, 130 interrupted."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


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
        return _fail(f"unknown command {verb!r}\n  fix: {hint}", 2)
    try:
        module = importlib.import_module(f"groundup.cli.{verb}")
        module.main(rest)
    except GroundupError as error:
        return _fail(str(error), error.exit_status)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:  # the reader of our output has left: nobody is there to be told
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def overview() -> str:
    """The text of `groundup --help`."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {about}" for verb, about in VERBS.items()]
    return "\n".join(
        [
            "groundup: build a large language model from the ground up.",
            "",
            "usage: groundup COMMAND [options]      groundup COMMAND --help for each",
            "",
            *lines,
            "",
            "example: groundup quickstart",
        ]
    )


def _fail(message: str, status: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return status


class Parser(argparse.ArgumentParser):
    """argparse with groundup's errors: the nearest flag is named, and the status is 2."""

    def __init__(self, verb: str, example: str, **options: object):
        super().__init__(
            prog=f"groundup {verb}", allow_abbrev=False, epilog=f"example: {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter, **options,  # type: ignore[arg-type]
        )  # fmt: skip

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
        print(f"error: {message.removeprefix('argument ')}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
