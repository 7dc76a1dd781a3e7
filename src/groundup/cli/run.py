"""`groundup run`"""

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from groundup.cli.main import Parser
from groundup.errors import InputError
from groundup.language import shown


def add_recipe(parser: Parser, required: bool = True) -> None:
    """The arguments that name a recipe and change it, for `run` and `plan`; where it is not `required`,
    something else may stand in its place."""
    from groundup.recipe.schema import shipped_recipes

    shipped = ", ".join(shipped_recipes())
    parser.add_argument(
        "recipe",
        metavar="RECIPE",
        nargs=None if required else "?",
        help=f"a TOML file, a folder of them, or one of: {shipped}",
    )
    parser.add_argument("--out", help="run directory (runs/RECIPE)")
    parser.add_argument("--data", nargs="+", help="your files instead of the recipe's text")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    add_recipe_settings(parser)


def add_recipe_settings(parser: Parser) -> None:
    """A flag for each setting of a recipe."""
    from groundup.cli.flags import add_settings
    from groundup.recipe.schema import Recipe

    for name, field in Recipe.model_fields.items():
        add_settings(parser, name, field.annotation)  # type: ignore[arg-type]


def read_given_recipe(parsed: Namespace):
    """The recipe that was named, with what was changed, and its run directory."""
    from groundup.recipe.schema import read_recipe

    overrides, out = read_overrides(parsed)
    return read_recipe(parsed.recipe, overrides), out


def read_overrides(parsed: Namespace) -> tuple[dict[str, Any], Path]:
    """What was changed of the recipe by flags, and the run directory."""
    from groundup.cli.flags import given_settings
    from groundup.recipe.schema import merge
    from groundup.sources.find import keep_standard_input

    out = Path(parsed.out or f"runs/{Path(parsed.recipe).stem}")
    overrides = given_settings(parsed)
    if parsed.data:
        paths = keep_standard_input(parsed.data, out / "data")
        overrides = merge(overrides, {"data": {"paths": paths, "sources": []}})
    return overrides, out


def main(arguments: list[str]) -> None:
    parser = Parser(
        "run",
        "groundup run shakespeare-modern --data shakespeare.txt --pretrain.train.steps 500",
        description="Carry out a recipe; what is done already is not done again. A folder of recipes is "
        "a comparison: each is trained with several seeds, beside the one before it.",
    )
    add_recipe(parser)
    parser.add_argument("--seeds", type=int, help="for a folder: trainings of each recipe (3)")
    parsed = parser.parse(arguments)

    from groundup.recipe.schema import folder_of_recipes

    folder = folder_of_recipes(parsed.recipe)
    if folder:
        compare_recipes(parsed, folder)
    else:
        run_one(parsed)


def run_one(parsed: Namespace) -> None:
    """Carry out a single recipe."""
    if parsed.seeds is not None:
        raise InputError(
            "--seeds is for a folder of recipes", None, "set a run's with --pretrain.train.seed"
        )
    recipe, out = read_given_recipe(parsed)

    from groundup.cli.console import ConsoleWatcher
    from groundup.cli.streams import print_json
    from groundup.recipe.launch import launch
    from groundup.recipe.run import run_recipe

    launch(recipe.parallel.processes)
    with ConsoleWatcher() as watcher:
        finished = run_recipe(recipe, out, watcher)
    watcher.made(finished)
    if parsed.json:
        print_json(figures(finished))


def figures(finished) -> dict[str, Any]:
    """What a run came to, as plain values."""
    pretrained, tuned = finished.pretrained, finished.tuned
    return {
        "stages": [{"name": name, **asdict(record)} for name, record in finished.records.items()],
        "model": str(finished.model),
        "model_checksum": (tuned or pretrained).model_checksum,
        "report": str(finished.run.report),
        "training_seconds": sum(each.seconds for each in (pretrained, tuned) if each),
        "val_loss": pretrained.val_loss if pretrained else None,
        "val_bits_per_byte": pretrained.val_bits_per_byte if pretrained else None,
        "finetune": asdict(tuned) if tuned else None,
        "bits_per_byte": {
            path: score["bits_per_byte"]
            for path, score in finished.figures.get("texts", {}).items()
        },
        "evaluate": finished.figures,
    }


def compare_recipes(parsed: Namespace, folder: Path) -> None:
    """Carry out a folder of recipes."""
    from groundup.cli.console import ConsoleWatcher
    from groundup.cli.streams import print_json
    from groundup.recipe.compare import SEEDS, compare, read_recipes
    from groundup.recipe.comparison import markdown

    overrides, out = read_overrides(parsed)
    recipes, seeds = (
        read_recipes(folder, overrides),
        SEEDS if parsed.seeds is None else parsed.seeds,
    )
    with ConsoleWatcher() as watcher:
        comparison = compare(recipes, seeds, out, watcher)
    watcher.console.print(shown(f"\nreport: {comparison.report}"), soft_wrap=True)
    if parsed.json:
        print_json(comparison.to_json())
    else:
        print(markdown(comparison.variants), end="")
