"""`groundup pretrain`"""

from pathlib import Path
from typing import Any

from groundup.cli.main import Parser


def main(arguments: list[str]) -> None:
    from groundup.cli.flags import add_settings, given_settings
    from groundup.data.windows import WindowConfig
    from groundup.model.config import ModelConfig
    from groundup.train.config import TrainConfig

    parser = Parser(
        "pretrain",
        "groundup pretrain --data book.txt --preset nano --train.minutes 5 --out runs/book",
        description="Train a model on text.",
    )
    parser.add_argument("--data", nargs="+", required=True, help="files and folders; - for input")
    parser.add_argument("--val", nargs="+", help="files for validation (a part of --data)")
    parser.add_argument("--text-field", help="the field of a row that is its text")
    parser.add_argument("--tokenizer", help="directory of an existing tokenizer")
    parser.add_argument("--vocab-size", help="token ids to learn (4096)")
    parser.add_argument("--tokenizer-kind", help="bpe, byte or character (bpe)")
    parser.add_argument("--preset", help="the model to begin from (micro)")
    parser.add_argument("--from", dest="begin_from", help="go on training this model")
    parser.add_argument("--prompt", help="beginning of the sample at each evaluation")
    parser.add_argument("--out", default="runs/pretrain", help="run directory (%(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on where an earlier run stopped")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    add_settings(parser, "train", TrainConfig)
    add_settings(parser, "model", ModelConfig)
    add_settings(parser, "windows", WindowConfig)
    parsed = parser.parse(arguments)
    run(parsed, recipe_values(parsed, given_settings(parsed)))


def recipe_values(parsed, settings: dict[str, Any]) -> dict[str, Any]:
    """The flags as the recipe they stand for."""
    data = {"paths": parsed.data, "validation": parsed.val, "text_field": parsed.text_field}
    tokenizer = {
        "path": parsed.tokenizer, "vocab_size": parsed.vocab_size, "kind": parsed.tokenizer_kind,
    }  # fmt: skip
    pretrain = {"preset": parsed.preset, "prompt": parsed.prompt, **settings}

    def given(table: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in table.items() if value is not None}

    return {"data": given(data), "tokenizer": given(tokenizer), "pretrain": given(pretrain)}


def run(parsed, values: dict[str, Any]) -> None:
    from groundup.cli.console import ConsoleWatcher, print_json
    from groundup.recipe.run import run_recipe
    from groundup.recipe.schema import parse_recipe
    from groundup.weights.directory import find, load_model

    begin_from = None
    if parsed.begin_from:
        directory = find(parsed.begin_from)
        begin_from = load_model(directory)
        values["tokenizer"] = {"path": str(directory)}
    recipe = parse_recipe(values)
    with ConsoleWatcher() as watcher:
        finished = run_recipe(recipe, Path(parsed.out), parsed.resume, watcher, begin_from)
    made = finished.pretrained
    state = made.run.state
    watcher.console.print(f"\nmodel: {made.directory}   report: {finished.report}")
    if parsed.json:
        print_json(
            {
                "model": str(made.directory),
                "steps": state.step,
                "tokens": state.tokens,
                "seconds": state.seconds,
                "tokens_per_second": state.tokens / state.seconds,
                "val_loss": made.score.loss if made.score else None,
                "val_bits_per_byte": made.score.bits_per_byte if made.score else None,
            }
        )
