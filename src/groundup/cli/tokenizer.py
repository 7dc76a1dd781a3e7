"""`groundup tokenizer train|encode|decode` (and `extend|shrink`, in vocabulary.py)"""

import re
import sys

from groundup.cli.flags import typed
from groundup.cli.main import Parser
from groundup.errors import InputError, unknown
from groundup.language import shown

ACTIONS = ("train", "encode", "decode", "extend", "shrink")


def main(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(
            shown(
                "usage: groundup tokenizer train PATH... | encode DIR | decode DIR\n"
                "       groundup tokenizer extend MODEL ... | shrink MODEL ...\n\n"
                "example: echo 'Hello world' | groundup tokenizer encode runs/book/tokenizer"
            )
        )
        return
    action, *rest = arguments
    if action not in ACTIONS:
        raise unknown("action", action, ACTIONS, "groundup tokenizer")
    if action in ("extend", "shrink"):
        from groundup.cli import vocabulary

        getattr(vocabulary, action)(rest)
        return
    {"train": train, "encode": encode, "decode": decode}[action](rest)


def train(arguments: list[str]) -> None:
    parser = Parser(
        "tokenizer train", "groundup tokenizer train book.txt --vocab-size 4096 --out tok"
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files and folders; - for input")
    parser.add_argument("--vocab-size", type=typed("--vocab-size"), default=4096,
                        help="token ids (%(default)s)")  # fmt: skip
    parser.add_argument("--kind", choices=("bpe", "byte", "character"), default="bpe")
    parser.add_argument("--out", default="tokenizer", help="directory to write (%(default)s)")
    parser.add_argument("--special", nargs="+", default=["<|endoftext|>"], metavar="TOKEN",
                        help="tokens never split or learned (%(default)s)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parsed = parser.parse(arguments)

    import tempfile
    import time
    from pathlib import Path

    from groundup.cli.console import ConsoleWatcher
    from groundup.cli.streams import print_json
    from groundup.files import disk_errors
    from groundup.recipe.schema import TokenizerConfig
    from groundup.sources.find import keep_standard_input
    from groundup.sources.read import read_pieces
    from groundup.tokenizer.tokenizer import Tokenizer
    from groundup.tokenizer.usage import usage

    vocab_size = TokenizerConfig.parse({"vocab_size": parsed.vocab_size}).vocab_size
    out = Path(parsed.out)
    with disk_errors(out):  # before the work, not after it
        out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    with ConsoleWatcher() as watcher, tempfile.TemporaryDirectory() as folder:
        watcher.stage("tokenizer", "Joining the most frequent neighbours, again and again.")
        paths = keep_standard_input(parsed.paths, Path(folder))
        tokenizer = Tokenizer.train(
            paths, vocab_size, parsed.special, parsed.kind, watcher.advanced
        )
        tokenizer.save(out)
        seconds = time.perf_counter() - began
        measured = usage(tokenizer, (piece.text for piece in read_pieces(paths)))
    figures = {
        "out": parsed.out, "vocab_size": tokenizer.vocab_size, "seconds": seconds,
        "bytes": measured.bytes, "bytes_per_token": measured.bytes_per_token,
    }  # fmt: skip
    if tokenizer.vocab_size < vocab_size:
        watcher.console.print(
            shown(
                f"the text has no more pairs to join: {tokenizer.vocab_size} ids instead of "
                f"{vocab_size}"
            )
        )
    if parsed.json:
        print_json(figures)
    else:
        watcher.console.print(shown(f"{parsed.out}: {tokenizer.vocab_size} ids, "
                              f"{measured.bytes_per_token:.2f} bytes per token"))  # fmt: skip


def encode(arguments: list[str]) -> None:
    parser = Parser("tokenizer encode", "echo 'Hello world' | groundup tokenizer encode tok --json")
    parser.add_argument("directory", metavar="DIR", help="a tokenizer or model directory")
    parser.add_argument("--json", action="store_true", help="print ids and pieces as JSON")
    parsed = parser.parse(arguments)

    from groundup.cli.streams import print_json, standard_input
    from groundup.tokenizer.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(parsed.directory)
    ids = tokenizer.encode(standard_input())
    if parsed.json:
        print_json({"ids": ids, "tokens": tokenizer.pieces(ids)})
    else:
        print(" ".join(map(str, ids)))


def decode(arguments: list[str]) -> None:
    parser = Parser("tokenizer decode", "echo '72 105' | groundup tokenizer decode tok")
    parser.add_argument("directory", metavar="DIR", help="a tokenizer or model directory")
    parsed = parser.parse(arguments)

    from groundup.cli.streams import standard_input
    from groundup.tokenizer.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(parsed.directory)
    words = standard_input().replace(",", " ").replace("[", " ").replace("]", " ").split()
    wrong = next((word for word in words if not re.fullmatch("[0-9]{1,9}", word)), None)
    if wrong is not None:
        raise InputError(
            f"{wrong[:40]!r} is not a token id", "standard input",
            f"give whole numbers from 0 to {tokenizer.vocab_size - 1}",
        )  # fmt: skip
    sys.stdout.write(tokenizer.decode(map(int, words)))
