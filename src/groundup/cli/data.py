"""`groundup data report`"""

import tempfile
from pathlib import Path

from groundup.cli.main import Parser
from groundup.errors import unknown
from groundup.language import shown


def main(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(
            shown(
                "usage: groundup data report PATH... [options]      groundup data report --help\n\n"
                "example: groundup data report notes/ rows.jsonl --against exam.json --html report.html"
            )
        )
        return
    action, *rest = arguments
    if action != "report":
        raise unknown("action", action, ["report"], "groundup data")
    report(rest)


def report(arguments: list[str]) -> None:
    parser = Parser(
        "data report",
        "groundup data report notes/ rows.jsonl --against exam.json --html report.html",
        description="What a text is like: sizes, languages, duplicates, personal data, leaks, problems.",
    )
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="files, folders, hf:owner/name, URLs"
    )
    parser.add_argument("--against", nargs="+", default=[], metavar="PATH",
                        help="test or exam texts, which must not be among the documents")  # fmt: skip
    parser.add_argument("--terms", nargs="+", default=[], metavar="TERM",
                        help="words of your field: how many tokens does each cost?")  # fmt: skip
    parser.add_argument("--tokenizer", help="count tokens with this tokenizer or model directory")
    parser.add_argument("--text-field", help="the field of a row that is its text")
    parser.add_argument("--html", metavar="FILE", help="write the report as a page")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parsed = parser.parse(arguments)

    from rich.markup import escape

    from groundup.cli.console import ConsoleWatcher
    from groundup.cli.streams import print_json
    from groundup.data.report import report_on
    from groundup.data.report_page import to_html
    from groundup.files import atomic_file
    from groundup.sources.find import keep_standard_input
    from groundup.tokenizer.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(parsed.tokenizer) if parsed.tokenizer else None
    with ConsoleWatcher() as watcher:
        watcher.stage("data", "Reading every document: what is there, and what is wrong with it?")
        with tempfile.TemporaryDirectory() as folder:
            paths = keep_standard_input(parsed.paths, Path(folder))
            found = report_on(paths, parsed.against, parsed.terms, tokenizer, parsed.text_field)
    if parsed.html:
        with atomic_file(parsed.html) as file:
            file.write(to_html(found, f"Data: {', '.join(map(str, parsed.paths))}"))
    if parsed.json:
        print_json(found.to_json())
    else:
        show(found)
    if parsed.html:
        watcher.console.print(shown(f"page: {escape(parsed.html)}"))


def show(found) -> None:
    """The tables of the report on the terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from groundup.data.report_page import tables

    console = Console(highlight=False)
    for name, header, rows in tables(found):
        table = Table(*map(shown, header), title=shown(name), title_justify="left")
        for row in rows[:20]:
            table.add_row(*(escape(str(cell)[:200]) for cell in row))
        console.print(table)
        if len(rows) > 20:
            console.print(shown(f"  … and {len(rows) - 20} more (see --json or --html)"))
    console.print(f"{shown(found.suffices)}.")
