"""`groundup compress report`"""

from pathlib import Path

from groundup.cli.flags import typed
from groundup.cli.main import Parser
from groundup.errors import InputError
from groundup.language import shown

EXAMPLE = "groundup compress report runs/book/pretrain/model --text other.txt --out runs/variants"


def main(arguments: list[str]) -> None:
    parser = _parser()
    parsed = parser.parse(arguments)
    if not str(parsed.new_tokens).isdigit() or int(parsed.new_tokens) < 1:
        raise InputError(f"{parsed.new_tokens!r} is no number of tokens", "--new-tokens", "use 128")

    from groundup.cli.console import ConsoleWatcher
    from groundup.cli.streams import print_json
    from groundup.page import markdown_table
    from groundup.recipe.compress.comparison import table
    from groundup.recipe.compress.report import ReportRequest, compare_variants

    variants = None if parsed.variants is None else tuple(parsed.variants.split(","))
    request = ReportRequest(
        tuple(parsed.model), tuple(parsed.text), Path(parsed.out), tuple(parsed.exam),
        tuple(parsed.classify), variants, tuple(parsed.calibration), int(parsed.new_tokens),
    )  # fmt: skip
    with ConsoleWatcher() as watcher:
        rows = compare_variants(request, watcher)
    report = str(request.out / "report.html")
    if parsed.json:
        print_json({"variants": [row.to_json() for row in rows], "report": report})
        return
    header, lines = table(rows)
    print(markdown_table([*map(shown, header)], lines), end="")
    print(shown(f"\nreport: {report}"))


def _parser() -> Parser:
    parser = Parser(
        "compress report", EXAMPLE,
        description="Measure variants of a model side by side: quality, bytes on disk, tokens per second, "
        "and which of them no other beats in everything. Of one model alone the variants are made: int8, "
        "int8-gptq and int4; they stay in --out, to be served.",
    )  # fmt: skip
    parser.add_argument(
        "model", metavar="MODEL", nargs="+", help="runs, model directories, .gguf files or hub ids"
    )
    parser.add_argument("--text", nargs="+", default=[], metavar="FILE", help="text to predict")
    parser.add_argument("--exam", nargs="+", default=[], metavar="FILE",
                        help="questions with choices and answers")  # fmt: skip
    parser.add_argument("--classify", nargs="+", default=[], metavar="FILE",
                        help="texts whose labels are known, for classifiers (instead of --text)")  # fmt: skip
    parser.add_argument("--variants", metavar="NAME,…",
                        help="what to make of the first model: int8, int8-gptq, int4, int4-absmax, or "
                        "PATTERN@SPARSITY of `compress prune` (layers@0.25)")  # fmt: skip
    parser.add_argument("--calibration", nargs="+", default=[], metavar="FILE",
                        help="text to make variants by (the first nine tenths of --text, the rest is "
                        "measured)")  # fmt: skip
    parser.add_argument("--new-tokens", type=typed("--new-tokens"), default="128", metavar="N",
                        help="how many tokens to write for the speed (%(default)s)")  # fmt: skip
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="variants, report.html, report.json"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser
