"""`groundup generate`"""

import argparse
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from groundup.cli.flags import ENGINE, given_flags, typed
from groundup.cli.main import Parser
from groundup.errors import InputError
from groundup.language import shown

if TYPE_CHECKING:
    from groundup.generation.sampling import SamplingConfig
    from groundup.generation.text import Completion
    from groundup.model.gpt import GPT
    from groundup.tokenizer.tokenizer import Tokenizer

SAMPLING = {
    "--max-new-tokens": "how many tokens at most", "--temperature": "0 takes the likeliest",
    "--top-k": "among the k likeliest", "--top-p": "among the likeliest with this probability",
    "--min-p": "leave out the less likely than this share", "--seed": "same seed, same text",
    "--repetition-penalty": "above 1: fewer repetitions",
}  # fmt: skip
SEARCH = {
    "--beams": "the likeliest text that so many beams find, instead of token by token",
    **ENGINE,
}


def main(arguments: list[str]) -> None:
    parser = Parser(
        "generate",
        "groundup generate runs/book/pretrain/model --prompt 'Once upon' --temperature 0.8",
        description="Continue a prompt.",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="a run, a model directory, a .gguf file or a hub id"
    )
    parser.add_argument("--prompt", help="the text to continue (standard input)")
    parser.add_argument("--stop", nargs="+", default=[], help="end before any of these strings")
    parser.add_argument("--json-schema", metavar="FILE", help="answer with JSON of this schema")
    parser.add_argument("--json", action="store_true", help="print text, ids and figures as JSON")
    for flag, about in (SAMPLING | SEARCH).items():
        parser.add_argument(flag, type=typed(flag), help=about)
    parsed = parser.parse(arguments)

    from groundup.cli.streams import print_json, standard_input
    from groundup.generation.text import Completion
    from groundup.weights.directory import load

    if "" in parsed.stop:
        raise InputError("an empty string would end every text at once", "--stop", "leave it out")
    model, tokenizer = load(parsed.model)
    prompt = standard_input() if parsed.prompt is None else parsed.prompt
    completion = Completion(tokenizer.encode_prompt(prompt))
    began = time.perf_counter()
    for piece in _pieces(parsed, model, tokenizer, completion):
        if not parsed.json:
            sys.stdout.write(piece)
            sys.stdout.flush()
    seconds = time.perf_counter() - began
    if parsed.json_schema and completion.finish_reason == "length":
        print(shown("warning: the JSON is cut: raise --max-new-tokens"), file=sys.stderr)
    if not parsed.json:
        print()
        return
    print_json(
        {
            "text": completion.text,
            "token_ids": completion.token_ids,
            "prompt_token_ids": completion.prompt_token_ids,
            "finish_reason": completion.finish_reason,
            "tokens_per_second": len(completion.token_ids) / seconds,
        }
    )


def _pieces(
    parsed: argparse.Namespace, model: "GPT", tokenizer: "Tokenizer", completion: "Completion"
) -> Iterable[str]:
    """The text as it comes, by the flags that were given."""
    from groundup.generation.config import GenerateConfig
    from groundup.generation.sampling import SamplingConfig
    from groundup.generation.setup import set_up
    from groundup.generation.text import complete, search

    sampling = SamplingConfig.parse(given_flags(parsed, SAMPLING), "command line")
    config = GenerateConfig.parse(given_flags(parsed, SEARCH), "command line")
    if config.beams:
        _refuse_beside_beams(parsed, sampling)
    engine = set_up(model, tokenizer, config)
    if config.beams:
        most = sampling.max_new_tokens
        return [search(engine, tokenizer, completion, config.beams, most, parsed.stop)]
    constraint = None
    if parsed.json_schema:
        from groundup.generation.schema import Grammars, read_schema

        grammars = Grammars(tokenizer, model.config.vocab_size)
        constraint = grammars.json_schema(read_schema(parsed.json_schema), parsed.json_schema)
    return complete(engine, tokenizer, completion, sampling, parsed.stop, constraint)


def _refuse_beside_beams(parsed: argparse.Namespace, sampling: "SamplingConfig") -> None:
    """Beams take the likeliest text: what draws or narrows the choice has no meaning beside them."""
    others = ("--json-schema", "--draft", "--draft-tokens")
    without = given_flags(parsed, SAMPLING) | given_flags(parsed, others)
    without.pop("max_new_tokens", None)
    if sampling.temperature == 0:
        without.pop("temperature", None)
    if without:
        flag = "--" + next(iter(without)).replace("_", "-")
        raise InputError(
            f"{flag} has no effect on beams, which look for the likeliest text",
            "--beams", f"leave out {flag} or --beams",
        )  # fmt: skip
