"""`groundup inspect`"""

import io
import sys
from pathlib import Path

from groundup.cli.main import Parser
from groundup.errors import InputError, nearest
from groundup.language import shown


def main(arguments: list[str]) -> None:
    parser = Parser(
        "inspect",
        "groundup inspect gpt-2-small --html gpt-2.html",
        description="What a model is made of and what it costs, without loading its weights.",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="a preset's name, a model directory or file, or a hub id"
    )
    parser.add_argument("--html", metavar="FILE", help="write the diagram and tables as a page")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parsed = parser.parse(arguments)

    from dataclasses import asdict

    from groundup.cli.streams import print_json
    from groundup.files import atomic_file
    from groundup.model.presets import PRESETS, preset
    from groundup.model.sheet import figures, to_page
    from groundup.weights.directory import find_family, read_config
    from groundup.weights.families import OURS, family_for
    from groundup.weights.stored import on_disk

    if parsed.model in PRESETS:
        config, weights = preset(parsed.model), None
        family = family_for(config)
    else:
        place = find_model(parsed.model)
        config, weights = read_config(place), on_disk(place)
        family = find_family(place)
    kind = family.model_type if family else OURS
    about = f"{parsed.model}: {summary(config, weights)}\nits kind (model_type) is {kind}"
    if parsed.html:
        with atomic_file(parsed.html) as file:
            file.write(to_page(f"Model: {parsed.model}", about, config))
    if parsed.json:
        on_disk = asdict(weights) if weights else None
        print_json(figures(config) | {"model_type": kind, "weights": on_disk})
    else:
        show(about, config)
    if parsed.html:
        print(shown(f"page: {parsed.html}"), file=sys.stderr)


def find_model(name: str) -> Path:
    """The place of a model that is no preset; a slip in a preset's name is told from a missing folder."""
    from groundup.model.presets import PRESETS
    from groundup.weights.directory import find

    folders = [path.name for path in Path().iterdir() if path.is_dir()]
    close = nearest(name, [*PRESETS, *folders])
    if close and not Path(name).exists() and Path(name).name == name:
        raise InputError(
            "there is no such preset or model directory", name, f"did you mean {close!r}?"
        )
    return find(name)


def summary(config, weights) -> str:
    """A model's size in one sentence, and what lies of it on the disk."""
    from groundup.model.cost import parameter_count
    from groundup.model.sheet import size_text

    text = f"{parameter_count(config):,} parameters, {config.n_layers} layers, "
    text += f"a context of {config.context_length:,} tokens"
    if weights is None:
        return text
    if not weights.files:
        return f"{text}; no weights beside it"
    text += f"; weights of {size_text(weights.bytes)} ({weights.bytes:,} bytes) on disk"
    if weights.problem:
        return f"{text}, which cannot be read: {weights.problem}"
    return f"{text}, {weights.dtype}" if weights.dtype else text


def show(about: str, config) -> None:
    """The diagram and the tables on the terminal, in characters that it has."""
    from rich.console import Console
    from rich.table import Table

    from groundup.model.diagram import diagram
    from groundup.model.drawing import to_ascii, to_text
    from groundup.model.sheet import NOTE, tables

    drawn = to_text(diagram(config))
    if not _can_show(drawn):
        drawn = to_ascii(drawn)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that this terminal cannot write is no reason to fail.
        sys.stdout.reconfigure(errors="replace")
    print(f"{about}\n\n{drawn}\n")
    console = Console(highlight=False)
    for name, header, rows in tables(config):
        table = Table(title=shown(name), title_justify="left")
        for i, column in enumerate(header):
            table.add_column(shown(column), justify="right" if i else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(shown(NOTE))


def _can_show(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return False
    return True
