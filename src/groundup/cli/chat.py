"""`groundup chat`"""

from groundup.cli.main import Parser


def main(arguments: list[str]) -> None:
    parser = Parser(
        "chat", "groundup chat runs/quickstart/pretrain/model", description="Talk to a model."
    )
    parser.add_argument("model", metavar="MODEL", help="a model directory or a hub id")
    parser.add_argument("--system", help="what the model is told before the conversation")
    parser.add_argument("--temperature", default="0", help="0 takes the likeliest (%(default)s)")
    parser.add_argument("--max-new-tokens", default="200", help="longest answer (%(default)s)")
    parsed = parser.parse(arguments)

    from groundup.cli.talk import chat_loop
    from groundup.generation.sampling import SamplingConfig
    from groundup.weights.directory import load

    settings = {"temperature": parsed.temperature, "max_new_tokens": parsed.max_new_tokens}
    sampling = SamplingConfig.parse(settings, "command line")
    model, tokenizer = load(parsed.model)
    chat_loop(model, tokenizer, parsed.system, sampling)
