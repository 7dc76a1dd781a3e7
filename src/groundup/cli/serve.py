"""`groundup serve`"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from groundup.cli.flags import ENGINE, given_flags, typed
from groundup.cli.main import Parser
from groundup.errors import GroundupError
from groundup.language import shown

if TYPE_CHECKING:  # `--help` loads no torch
    from groundup.recipe.directory import RunDirectory
    from groundup.recipe.trainings import Training
    from groundup.serve.served import Served

FLAGS = {
    "--host": "address to listen on (127.0.0.1: this machine only)",
    "--port": "0 takes one that is free (8000)",
    "--api-key": "what callers have to send (GROUNDUP_API_KEY)",
    "--max-batch": "so many requests are answered together (16)",
    "--max-queue": "so many more may wait (64)",
    **ENGINE,
    "--max-request-bytes": "a longer request is refused (1000000)",
    "--max-seconds": "a longer answer is broken off (600)",
    "--drain-seconds": "when stopped, answers on their way get this long (30)",
}


def main(arguments: list[str]) -> None:
    parser = Parser(
        "serve",
        "groundup serve runs/quickstart --port 8000",
        description="Serve a model to OpenAI's clients, and a page about it.",
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a run directory, finished or at work, a model directory, a .gguf file or a hub id",
    )
    for flag, about in FLAGS.items():
        parser.add_argument(flag, type=typed(flag), help=about)
    parsed = parser.parse(arguments)

    from groundup.serve.config import ServeConfig

    given = given_flags(parsed, FLAGS)
    if "api_key" not in given and (key := os.environ.get("GROUNDUP_API_KEY")):
        given["api_key"] = key
    config = ServeConfig.parse(given, "command line")

    from groundup.serve.listen import listen

    served, trainings = _served(parsed.model)
    listen(served, config, trainings)


def _served(source: str) -> tuple["Served", list["Training"]]:
    """The model to serve, and the trainings of the run that it belongs to, if it belongs to one."""
    from groundup.recipe.directory import run_of
    from groundup.recipe.trainings import trainings_of
    from groundup.serve.served import load_served

    run = run_of(source)
    if run is None:
        return load_served(source), []
    if run.path == Path(source).resolve():
        trainings = trainings_of(run)
        return _newest(run, trainings), trainings
    served = load_served(source)
    try:
        return served, trainings_of(run)
    except GroundupError as error:  # a model is served even where its run is of another version
        print(shown(f"warning: nothing is shown of the run: {error.told(shown)}"), file=sys.stderr)
        return served, []


def _newest(run: "RunDirectory", trainings: list["Training"]) -> "Served":
    """The model that a run has made last; while it makes its first, that of the newest checkpoint."""
    from groundup.recipe.trainings import newest_checkpoint
    from groundup.serve.served import Served, load_served
    from groundup.weights.directory import newest_model

    if newest_model(run.path):
        return load_served(str(run.path))
    training, step = newest_checkpoint(trainings)
    print(
        shown(f"no model is finished yet: this is the checkpoint of step {step:,}"), file=sys.stderr
    )
    return Served(run.path.name, *training.load(step))
