"""`groundup generate`"""

import sys

from groundup.cli.flags import typed
from groundup.cli.main import Parser


def main(arguments: list[str]) -> None:
    parser = Parser(
        "generate",
        "groundup generate runs/book/pretrain/model --prompt 'Once upon' --temperature 0.8",
        description="Continue a prompt.",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="a model directory, a .gguf file or a hub id"
    )
    parser.add_argument("--prompt", help="the text to continue (standard input)")
    parser.add_argument("--stop", nargs="+", default=[], help="end before any of these strings")
    parser.add_argument("--json", action="store_true", help="print text, ids and figures as JSON")
    flags = {
        "--max-new-tokens": "how many tokens at most", "--temperature": "0 takes the likeliest",
        "--top-k": "among the k likeliest", "--top-p": "among the likeliest with this probability",
        "--min-p": "leave out the less likely than this share", "--seed": "same seed, same text",
        "--repetition-penalty": "above 1: fewer repetitions",
    }  # fmt: skip
    for flag, about in flags.items():
        parser.add_argument(flag, type=typed(flag), help=about)
    parsed = parser.parse(arguments)

    import time

    from groundup.cli.streams import print_json, standard_input
    from groundup.generation.engine import Engine
    from groundup.generation.sampling import SamplingConfig
    from groundup.generation.text import Completion, complete
    from groundup.weights.directory import load

    names = [flag[2:].replace("-", "_") for flag in flags]
    settings = {name: getattr(parsed, name) for name in names}
    given = {name: value for name, value in settings.items() if value is not None}
    sampling = SamplingConfig.parse(given, "command line")
    model, tokenizer = load(parsed.model)
    prompt = standard_input() if parsed.prompt is None else parsed.prompt
    completion = Completion(tokenizer.encode_prompt(prompt))
    began = time.perf_counter()
    for piece in complete(Engine(model), tokenizer, completion, sampling, parsed.stop):
        if not parsed.json:
            sys.stdout.write(piece)
            sys.stdout.flush()
    seconds = time.perf_counter() - began
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
