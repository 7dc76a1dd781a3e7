"""`groundup tokenizer extend|shrink`: a whole new model directory with another vocabulary."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import PositiveInt

from groundup.cli.flags import typed
from groundup.cli.main import Parser
from groundup.language import shown
from groundup.settings import Settings

Texts = Callable[[], Iterator[str]]


class Counts(Settings):
    """The numbers that flags give."""

    count: PositiveInt = 100
    min_count: PositiveInt = 1


def extend(arguments: list[str]) -> None:
    parser = _parser(
        "extend",
        "groundup tokenizer extend runs/book/pretrain/model --data law.txt --count 500 --out longer",
        "Make words of your field tokens: text without them keeps its ids and logits.",
    )  # fmt: skip
    parser.add_argument("--words", metavar="FILE", help="one word a line; a space before it counts")
    parser.add_argument("--data", nargs="+", metavar="PATH",
                        help="texts to choose words from, or to count those of --words in")  # fmt: skip
    parser.add_argument("--count", type=typed("--count"), help="words to choose from --data (100)")
    parsed = parser.parse(arguments)
    if not (parsed.words or parsed.data):
        parser.error(
            "words are missing\n  fix: give --words FILE, or --data PATH... to choose from"
        )
    if parsed.words and parsed.count:
        parser.error("--count chooses words from --data\n  fix: leave --count or --words out")
    count = Counts.parse({"count": parsed.count} if parsed.count else {}).count

    from groundup.cli.console import ConsoleWatcher
    from groundup.tokenizer.choosing import choose_words
    from groundup.tokenizer.extending import read_words
    from groundup.tokenizer.usage import usage
    from groundup.weights import vocabulary
    from groundup.weights.directory import check_place, find, load, save

    check_place(find(parsed.model), parsed.out)

    model, tokenizer = load(parsed.model)
    with ConsoleWatcher() as watcher, tempfile.TemporaryDirectory() as folder:
        watcher.stage("vocabulary", "Strings that are frequent as a whole become tokens.")
        texts = _texts(parsed, Path(folder))
        words = (
            read_words(parsed.words) if parsed.words
            else choose_words(tokenizer, texts(), count, watcher.advanced)
        )  # fmt: skip
        if not parsed.words and len(words) < count:
            watcher.warned(f"{len(words)} words save tokens, not {count}")
        new_model, new_tokenizer = vocabulary.extend(model, tokenizer, words)
        counted = (
            (usage(tokenizer, texts()), usage(new_tokenizer, texts())) if parsed.data else None
        )
    save(new_model, new_tokenizer, parsed.out)
    rows = vocabulary.word_rows(tokenizer, words, counted[1] if counted else None)
    kept = range(tokenizer.vocab_size)
    figures = {"out": parsed.out, "words": rows} | vocabulary.figures(
        (model, tokenizer), (new_model, new_tokenizer), kept, counted
    )
    _show(figures, parsed.json)


def shrink(arguments: list[str]) -> None:
    parser = _parser(
        "shrink", "groundup tokenizer shrink some/model --data law.txt --out small",
        "Keep the tokens that your texts use: they keep their tokens and logits, under new ids.",
    )  # fmt: skip
    parser.add_argument("--data", nargs="+", required=True, metavar="PATH",
                        help="texts whose tokens stay")  # fmt: skip
    parser.add_argument("--min-count", type=typed("--min-count"), default="1",
                        help="leave out tokens that occur less often (%(default)s)")  # fmt: skip
    parsed = parser.parse(arguments)
    least = Counts.parse({"min_count": parsed.min_count}).min_count

    from groundup.cli.console import ConsoleWatcher
    from groundup.tokenizer.usage import usage
    from groundup.weights import vocabulary
    from groundup.weights.directory import check_place, find, load, save

    check_place(find(parsed.model), parsed.out)

    model, tokenizer = load(parsed.model)
    with ConsoleWatcher() as watcher, tempfile.TemporaryDirectory() as folder:
        watcher.stage("vocabulary", "Tokens that never occur go, and their rows with them.")
        texts = _texts(parsed, Path(folder))
        before = usage(tokenizer, texts())
        used = [id_ for id_, times in before.times.items() if times >= least]
        new_model, new_tokenizer, kept = vocabulary.shrink(model, tokenizer, used)
        counted = before, usage(new_tokenizer, texts())
    save(new_model, new_tokenizer, parsed.out)
    figures = {"out": parsed.out} | vocabulary.figures(
        (model, tokenizer), (new_model, new_tokenizer), kept, counted
    )
    _show(figures, parsed.json)


def _parser(action: str, example: str, about: str) -> Parser:
    parser = Parser(f"tokenizer {action}", example, description=about)
    parser.add_argument("model", metavar="MODEL", help="a model directory or file")
    parser.add_argument("--text-field", help="the field of a row that is its text")
    parser.add_argument("--out", required=True, metavar="DIR", help="model directory to write")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser


def _texts(parsed: Any, folder: Path) -> Texts:
    """The texts of --data, as often as they are wanted."""
    from groundup.sources.find import keep_standard_input
    from groundup.sources.read import read_pieces

    paths = keep_standard_input(parsed.data or [], folder)
    return lambda: (piece.text for piece in read_pieces(paths, parsed.text_field))


def _show(figures: dict[str, Any], as_json: bool) -> None:
    from groundup.cli.streams import print_json

    if as_json:
        print_json(figures)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    if words := figures.get("words"):
        table = Table(shown("word"), shown("tokens before"), shown("times"), shown("tokens saved"))
        for row in words[:30]:
            cells = row["word"], len(row["pieces"]), row.get("times", ""), row.get("saved", "")
            table.add_row(*(escape(str(cell)) for cell in cells))
        console.print(table)
        if len(words) > 30:
            console.print(shown(f"  … and {len(words) - 30} more (see --json)"))
    for name in ("vocab_size", "parameters", "bytes", "tokens", "bytes_per_token"):
        if f"{name}_before" in figures:
            before, after = (figures[f"{name}_{when}"] for when in ("before", "after"))
            form = ",.3f" if name == "bytes_per_token" else ",d"
            console.print(
                f"{shown(name.replace('_', ' ')):<16} {before:>14{form}} → {after:>14{form}}"
            )
    console.print(
        shown(f"largest difference of a logit: {figures['largest_logit_difference']:.1g}")
    )
    console.print(shown(f"model: {escape(figures['out'])}"), soft_wrap=True)
