"""`groundup compress distill`"""

import argparse
from pathlib import Path
from typing import Any

from groundup.cli.main import Parser
from groundup.language import shown

EXAMPLE = (
    "groundup compress distill --teacher runs/book/pretrain/model --student nano --data book.txt "
    "--train.steps 500 --out runs/student"
)


def main(arguments: list[str]) -> None:
    parsed = _parser().parse(arguments)
    figures = run(parsed)
    if parsed.json:
        from groundup.cli.streams import print_json

        print_json(figures)
        return
    sizes = f"{figures['parameters']:,} parameters, its teacher {figures['teacher_parameters']:,}"
    print(shown(f"{figures['model']}: {sizes}; {figures['steps']:,} steps"))
    if "val_bits_per_byte" in figures:
        print(
            shown(
                f"bits per byte: {figures['val_bits_per_byte']:.4f}, "
                f"its teacher {figures['teacher_bits_per_byte']:.4f}"
            )
        )


def _parser() -> Parser:
    from groundup.cli.flags import add_settings
    from groundup.compress.config import DistillConfig
    from groundup.model.config import ModelConfig
    from groundup.train.config import TrainConfig

    parser = Parser(
        "compress distill", EXAMPLE,
        description="Train a small model on what a large one finds likely.",
    )  # fmt: skip
    parser.add_argument("--teacher", required=True, metavar="MODEL", help="the model to learn from")
    parser.add_argument(
        "--student", required=True, metavar="PRESET|MODEL",
        help="the model that learns: new, or a smaller or pruned one with the teacher's tokenizer",
    )  # fmt: skip
    parser.add_argument("--data", nargs="+", required=True, metavar="PATH", help="text")
    parser.add_argument("--out", default="runs/distilled", help="model directory (%(default)s)")
    parser.add_argument(
        "--cache", nargs="?", const="", metavar="DIR",
        help="keep what the teacher says, instead of asking it in every epoch: in DIR, for other runs "
        "too, or in --out (as --distill.cache_top_k, by default 64)",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on where an earlier run stopped")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    add_settings(parser, "distill", DistillConfig)
    add_settings(parser, "train", TrainConfig)
    add_settings(parser, "model", ModelConfig)
    return parser


def run(parsed: argparse.Namespace) -> dict[str, Any]:
    """Distil as the flags say; the figures."""
    from groundup.cli.console import ConsoleWatcher
    from groundup.cli.flags import given_settings
    from groundup.compress.config import DistillConfig
    from groundup.compress.teacher_cache import TOP_K
    from groundup.recipe.compress.distill import DistillRequest, distill_model
    from groundup.train.config import TrainConfig

    given = given_settings(parsed)
    distill = given.get("distill", {})
    if parsed.cache is not None:
        distill = {"cache_top_k": TOP_K} | distill
    request = DistillRequest(
        parsed.teacher, parsed.student, tuple(parsed.data), Path(parsed.out), given.get("model", {}),
        DistillConfig.parse(distill, "command line"),
        TrainConfig.parse(given.get("train", {}), "command line"), parsed.resume,
        Path(parsed.cache) if parsed.cache else None,
    )  # fmt: skip
    with ConsoleWatcher() as watcher:
        return distill_model(request, watcher)
