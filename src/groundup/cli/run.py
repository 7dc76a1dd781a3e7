"""`groundup run`"""

from pathlib import Path

from groundup.cli.main import Parser


def main(arguments: list[str]) -> None:
    from groundup.cli.flags import add_settings, given_settings
    from groundup.recipe.schema import Recipe, merge, read_recipe, shipped_recipes

    parser = Parser(
        "run",
        "groundup run shakespeare-modern --data shakespeare.txt --pretrain.train.steps 500",
        description=f"Carry out a recipe. Shipped ones: {', '.join(shipped_recipes())}.",
    )
    parser.add_argument("recipe", help="a shipped recipe's name, or a TOML file")
    parser.add_argument("--out", help="run directory (runs/RECIPE)")
    parser.add_argument("--data", nargs="+", help="your files instead of the recipe's text")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    for name, field in Recipe.model_fields.items():
        add_settings(parser, name, field.annotation)  # type: ignore[arg-type]
    parsed = parser.parse(arguments)
    overrides = given_settings(parsed)
    if parsed.data:
        overrides = merge(overrides, {"data": {"paths": parsed.data}})
    recipe = read_recipe(parsed.recipe, overrides)
    out = Path(parsed.out or f"runs/{Path(parsed.recipe).stem}")

    from groundup.cli.console import ConsoleWatcher, print_json
    from groundup.recipe.run import run_recipe

    with ConsoleWatcher() as watcher:
        finished = run_recipe(recipe, out, True, watcher)
    made = finished.pretrained
    figures = {
        "stages": [{"name": name, "seconds": s} for name, s in finished.seconds.items()],
        "model": str(made.directory),
        "report": str(finished.report),
        "training_seconds": made.run.state.seconds,
        "val_loss": made.score.loss if made.score else None,
        "val_bits_per_byte": made.score.bits_per_byte if made.score else None,
        "bits_per_byte": {path: score.bits_per_byte for path, score in finished.scores.items()},
    }
    watcher.console.print(f"\nmodel: {made.directory}   report: {finished.report}")
    if parsed.json:
        print_json(figures)
