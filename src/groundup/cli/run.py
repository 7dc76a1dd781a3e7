"""`groundup run`"""

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from groundup.cli.main import Parser


def add_recipe(parser: Parser) -> None:
    """The arguments that name a recipe and change it, for `run` and `plan`."""
    from groundup.cli.flags import add_settings
    from groundup.recipe.schema import Recipe, shipped_recipes

    shipped = ", ".join(shipped_recipes())
    parser.add_argument("recipe", metavar="RECIPE", help=f"a TOML file, or one of: {shipped}")
    parser.add_argument("--out", help="run directory (runs/RECIPE)")
    parser.add_argument("--data", nargs="+", help="your files instead of the recipe's text")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    for name, field in Recipe.model_fields.items():
        add_settings(parser, name, field.annotation)  # type: ignore[arg-type]


def read_given_recipe(parsed: Namespace):
    """The recipe that was named, with what was changed, and its run directory."""
    from groundup.cli.flags import given_settings
    from groundup.recipe.schema import merge, read_recipe
    from groundup.sources.find import keep_standard_input

    out = Path(parsed.out or f"runs/{Path(parsed.recipe).stem}")
    overrides = given_settings(parsed)
    if parsed.data:
        paths = keep_standard_input(parsed.data, out / "data")
        overrides = merge(overrides, {"data": {"paths": paths, "sources": []}})
    return read_recipe(parsed.recipe, overrides), out


def main(arguments: list[str]) -> None:
    parser = Parser(
        "run",
        "groundup run shakespeare-modern --data shakespeare.txt --pretrain.train.steps 500",
        description="Carry out a recipe; what is done already is not done again.",
    )
    add_recipe(parser)
    parsed = parser.parse(arguments)
    recipe, out = read_given_recipe(parsed)

    from groundup.cli.console import ConsoleWatcher, print_json
    from groundup.recipe.run import run_recipe

    with ConsoleWatcher() as watcher:
        finished = run_recipe(recipe, out, watcher)
    summary, records = finished.summary, finished.records
    watcher.made(finished)
    if parsed.json:
        print_json(
            {
                "stages": [{"name": name, **asdict(record)} for name, record in records.items()],
                "model": str(finished.run.model),
                "model_checksum": summary.model_checksum,
                "report": str(finished.run.report),
                "training_seconds": summary.seconds,
                "val_loss": summary.val_loss,
                "val_bits_per_byte": summary.val_bits_per_byte,
                "bits_per_byte": {p: score.bits_per_byte for p, score in finished.scores.items()},
            }
        )
