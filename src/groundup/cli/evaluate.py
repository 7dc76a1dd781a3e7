"""`groundup evaluate`"""

from groundup.cli.main import Parser


def main(arguments: list[str]) -> None:
    parser = Parser(
        "evaluate",
        "groundup evaluate runs/book/pretrain/model --text other.txt --json",
        description="Measure how well a model predicts a text.",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="a model directory, a .gguf file or a hub id"
    )
    parser.add_argument("--text", required=True, metavar="FILE", help="the text to predict")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parsed = parser.parse(arguments)

    from groundup.cli.console import print_json
    from groundup.evaluate.subject import LocalModel
    from groundup.recipe.evaluate import score_text
    from groundup.weights.directory import load

    subject = LocalModel(*load(parsed.model))
    score = score_text(subject, [parsed.text])
    if parsed.json:
        print_json(
            {
                "bits_per_byte": score.bits_per_byte,
                "perplexity": score.perplexity,
                "loss": score.loss,
                "tokens": score.tokens,
            }  # fmt: skip
        )
    else:
        print(f"{score.bits_per_byte:.4f} bits per byte, perplexity {score.perplexity:.2f}")
