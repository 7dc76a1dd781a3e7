"""`groundup compress prune`"""

import argparse
from pathlib import Path
from typing import Any, get_args

from groundup.cli.main import Parser
from groundup.language import shown

EXAMPLE = (
    "groundup compress prune runs/book/pretrain/model --pattern wanda --sparsity 0.5 --recover book.txt "
    "--out runs/pruned"
)


def main(arguments: list[str]) -> None:
    parsed = _parser().parse(arguments)
    figures = run(parsed)
    if parsed.json:
        from groundup.cli.streams import print_json

        print_json(figures)
        return
    print(shown(f"{figures['model']}: {figures['sparsity']:.1%} pruned ({figures['pattern']})"))
    print(shown(f"bytes: {figures['bytes_before']:,} → {figures['bytes_after']:,}"))
    steps = ("bits_per_byte_before", "bits_per_byte_pruned", "bits_per_byte_after")
    if figures["bits_per_byte_before"] is not None:
        measured = (f"{shown(name.rpartition('_')[2])} {figures[name]:.4f}" for name in steps)
        print(shown(f"bits per byte: {', '.join(measured)}"))


def _parser() -> Parser:
    from groundup.cli.flags import add_settings, typed
    from groundup.compress.config import Pattern, RecoverConfig

    parser = Parser(
        "compress prune", EXAMPLE,
        description="Take away what a model needs least: single weights, which become zero (magnitude, "
        "wanda, 2:4), or heads, feed-forward columns and layers, which make it smaller. And train what is "
        "left to make up for it.",
    )  # fmt: skip
    parser.add_argument(
        "model", metavar="MODEL", help="a run, model directory, .gguf file or hub id"
    )
    parser.add_argument(
        "--pattern", type=typed("--pattern"), default="magnitude",
        metavar="|".join(get_args(Pattern)), help="what goes (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--sparsity", type=typed("--sparsity"), default="0.5",
        help="the share of it that goes (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--recover", nargs="+", default=[], metavar="PATH", help="text to train on after pruning"
    )
    parser.add_argument(
        "--calibration", nargs="+", default=[], metavar="PATH",
        help="text to choose by (that of --recover, or the model's own)",
    )  # fmt: skip
    parser.add_argument("--out", default="runs/pruned", help="model directory (%(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on where an earlier run stopped")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    add_settings(parser, "train", RecoverConfig)
    return parser


def run(parsed: argparse.Namespace) -> dict[str, Any]:
    """Prune as the flags say; the figures."""
    from groundup.cli.console import ConsoleWatcher
    from groundup.cli.flags import given_settings
    from groundup.compress.config import PruneConfig, RecoverConfig
    from groundup.recipe.compress.prune import PruneRequest, prune_model

    config = {"pattern": parsed.pattern, "sparsity": parsed.sparsity}
    request = PruneRequest(
        parsed.model, PruneConfig.parse(config, "command line"), Path(parsed.out),
        tuple(parsed.recover), tuple(parsed.calibration),
        RecoverConfig.parse(given_settings(parsed).get("train", {}), "command line"), parsed.resume,
    )  # fmt: skip
    with ConsoleWatcher() as watcher:
        return prune_model(request, watcher)
