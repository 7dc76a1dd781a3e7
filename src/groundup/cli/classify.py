"""`groundup classify`"""

from groundup.cli.main import Parser


def main(arguments: list[str]) -> None:
    parser = Parser(
        "classify",
        "groundup classify runs/spam/finetune/model 'You have won! Call now' --json",
        description="Say which label belongs to each text.",
    )
    parser.add_argument("model", metavar="MODEL", help="a classifier's directory, or a hub id")
    parser.add_argument(
        "texts", metavar="TEXT", nargs="*", help="the texts (default: each line of standard input)"
    )
    parser.add_argument("--json", action="store_true", help="print all probabilities as JSON")
    parsed = parser.parse(arguments)

    from groundup.cli.streams import print_json, standard_input
    from groundup.errors import InputError
    from groundup.evaluate.prediction import predict
    from groundup.weights.classifier import load_classifier

    classifier, tokenizer, names = load_classifier(parsed.model)
    texts = parsed.texts or [line for line in standard_input().splitlines() if line.strip()]
    if not texts:
        raise InputError("there is no text to label", "standard input", "give one, or one per line")
    if empty := [number for number, text in enumerate(texts, start=1) if not text.strip()]:
        raise InputError(f"text {empty[0]} is empty", "command line", "leave it out")
    probabilities = predict(classifier, tokenizer, texts)
    chosen = [names[i] for i in probabilities.argmax(axis=1)]
    if parsed.json:
        of_labels = [dict(zip(names, row, strict=True)) for row in probabilities.tolist()]
        print_json({"labels": chosen, "probabilities": of_labels})
        return
    for label, sure, text in zip(chosen, probabilities.max(axis=1), texts, strict=True):
        print(f"{label}\t{sure:.3f}\t{' '.join(text.split())}")
