"""`groundup chat`"""

import sys

from groundup.cli.flags import typed
from groundup.cli.main import Parser
from groundup.errors import InputError
from groundup.language import shown


def main(arguments: list[str]) -> None:
    parser = Parser(
        "chat", "groundup chat runs/quickstart/pretrain/model", description="Talk to a model."
    )
    parser.add_argument(
        "model", metavar="MODEL", help="a run, a model directory, a .gguf file or a hub id"
    )
    parser.add_argument("--system", help="what the model is told before the conversation")
    for flag, about in {
        "--temperature": "0 takes the likeliest (0)",
        "--max-new-tokens": "longest answer (200)",
    }.items():
        parser.add_argument(flag, type=typed(flag), help=about)
    parsed = parser.parse(arguments)

    from groundup.cli.talk import chat_loop, complete_loop
    from groundup.generation.sampling import SamplingConfig
    from groundup.weights.directory import load

    flags = {"temperature": parsed.temperature, "max_new_tokens": parsed.max_new_tokens}
    given = {name: value for name, value in flags.items() if value is not None}
    sampling = SamplingConfig.parse({"temperature": 0, "max_new_tokens": 200} | given)
    model, tokenizer = load(parsed.model)
    if tokenizer.knows_turns:
        chat_loop(model, tokenizer, parsed.system, sampling)
    elif parsed.system:
        raise InputError("this model knows no turns", parsed.model, "leave --system out")
    else:
        print(shown("This model knows no turns: it goes on with what you begin."), file=sys.stderr)
        complete_loop(model, tokenizer, SamplingConfig.parse(given))
