"""`groundup serve`"""

import os

from groundup.cli.flags import typed
from groundup.cli.main import Parser

FLAGS = {
    "--host": "address to listen on (127.0.0.1: this machine only)",
    "--port": "0 takes one that is free (8000)",
    "--api-key": "what callers have to send (GROUNDUP_API_KEY)",
    "--max-batch": "so many requests are answered together (16)",
    "--max-queue": "so many more may wait (64)",
    "--draft": "a smaller model that guesses ahead, or prompt-lookup: faster, the same answers",
    "--draft-tokens": "so many guesses at a time (4)",
    "--max-request-bytes": "a longer request is refused (1000000)",
    "--max-seconds": "a longer answer is broken off (600)",
    "--drain-seconds": "when stopped, answers on their way get this long (30)",
}


def main(arguments: list[str]) -> None:
    parser = Parser(
        "serve",
        "groundup serve runs/quickstart/finetune/model --port 8000",
        description="Serve a model to OpenAI's clients.",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="a model directory, a .gguf file or a hub id"
    )
    for flag, about in FLAGS.items():
        parser.add_argument(flag, type=typed(flag), help=about)
    parsed = parser.parse(arguments)

    from groundup.serve.config import ServeConfig

    names = [flag[2:].replace("-", "_") for flag in FLAGS]
    given = {name: value for name in names if (value := getattr(parsed, name)) is not None}
    if "api_key" not in given and (key := os.environ.get("GROUNDUP_API_KEY")):
        given["api_key"] = key
    config = ServeConfig.parse(given, "command line")

    from groundup.serve.listen import listen
    from groundup.serve.served import load_served

    listen(load_served(parsed.model), config)
