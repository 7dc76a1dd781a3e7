"""`groundup pretrain`"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from groundup.cli.main import Parser
from groundup.errors import InputError


def main(arguments: list[str]) -> None:
    from groundup.cli.flags import add_settings, given_settings, typed
    from groundup.data.windows import WindowConfig
    from groundup.model.config import ModelConfig
    from groundup.train.config import ParallelConfig, TrainConfig

    parser = Parser(
        "pretrain",
        "groundup pretrain --data book.txt --preset nano --train.minutes 5 --out runs/book",
        description="Train a model on text.",
    )
    parser.add_argument("--data", nargs="+", required=True, help="files and folders; - for input")
    parser.add_argument("--val", nargs="+", help="files for validation (a part of --data)")
    parser.add_argument("--text-field", help="the field of a row that is its text")
    parser.add_argument("--tokenizer", help="directory of an existing tokenizer")
    for flag, about in {
        "--vocab-size": "token ids to learn (4096)",
        "--tokenizer-kind": "bpe, byte or character (bpe)",
        "--preset": "the model to begin from (micro)",
    }.items():
        parser.add_argument(flag, type=typed(flag), help=about)
    parser.add_argument("--from", dest="begin_from", help="go on training this model")
    parser.add_argument("--prompt", help="beginning of the sample at each evaluation")
    parser.add_argument("--out", default="runs/pretrain", help="run directory (%(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on where an earlier run stopped")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    add_settings(parser, "train", TrainConfig)
    add_settings(parser, "model", ModelConfig)
    add_settings(parser, "windows", WindowConfig)
    add_settings(parser, "parallel", ParallelConfig)
    parsed = parser.parse(arguments)
    run(parsed, recipe_values(parsed, given_settings(parsed)))


def recipe_values(parsed, settings: dict[str, Any]) -> dict[str, Any]:
    """The flags as the recipe they stand for."""
    from groundup.sources.find import keep_standard_input

    paths = keep_standard_input(parsed.data, Path(parsed.out) / "data")
    data = {"paths": paths, "validation": parsed.val, "text_field": parsed.text_field}
    tokenizer = {
        "path": parsed.tokenizer, "vocab_size": parsed.vocab_size, "kind": parsed.tokenizer_kind,
    }  # fmt: skip
    parallel = settings.pop("parallel", {})
    pretrain = {
        "preset": parsed.preset, "prompt": parsed.prompt, "begin_from": parsed.begin_from, **settings,
    }  # fmt: skip

    def given(table: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in table.items() if value is not None}

    return {
        "data": given(data), "tokenizer": given(tokenizer), "pretrain": given(pretrain),
        "parallel": parallel,
    }  # fmt: skip


def run(parsed, values: dict[str, Any]) -> None:
    from groundup.cli.running import run_flags
    from groundup.weights.directory import find

    if parsed.begin_from and parsed.tokenizer:
        raise InputError(
            "a model goes on with its own tokenizer", "--tokenizer", "leave it out beside --from"
        )
    if parsed.begin_from:  # before the text is read
        find(parsed.begin_from)
    finished = run_flags(values, Path(parsed.out), parsed.resume)
    if parsed.json and finished.pretrained:
        from groundup.cli.streams import print_json

        summary = asdict(finished.pretrained)
        speed = summary["tokens"] / summary["seconds"]
        print_json({"model": str(finished.model), "tokens_per_second": speed, **summary})
