"""`groundup finetune classify|instruct|prefer|reason`"""

import argparse
from pathlib import Path
from typing import Any

from groundup.cli.main import Parser
from groundup.errors import unknown
from groundup.language import N_, shown

KINDS = {
    "classify": (N_("a label for a text"), "--data sms-spam.tsv --lora-rank 8"),
    "instruct": (N_("answers to instructions"), "--data instructions.json --lora-rank 16"),
    "prefer": (N_("of two answers the better one"), "--data preferences.json --beta 0.1"),
    "reason": (N_("answers that can be checked"), "--train.steps 100"),
}


def main(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        kinds = [f"  {kind:<9} {shown(about)}" for kind, (about, _) in KINDS.items()]
        usage = shown(
            "usage: groundup finetune KIND --model MODEL [options]      groundup finetune KIND --help"
        )
        print("\n".join([usage, "", *kinds, "", shown(f"example: {_example('instruct')}")]))
        return
    kind, *rest = arguments
    if kind not in KINDS:
        raise unknown("kind of tuning", kind, KINDS, "groundup finetune")
    parsed = _parser(kind).parse(rest)
    from groundup.cli.running import run_flags

    finished = run_flags(recipe_values(kind, parsed), Path(parsed.out), parsed.resume)
    if parsed.json:
        from groundup.cli.streams import print_json

        print_json(figures(finished))


def _example(kind: str) -> str:
    return f"groundup finetune {kind} --model MODEL {KINDS[kind][1]} --out runs/mine"


def _parser(kind: str) -> Parser:
    from groundup.cli.flags import add_settings, typed
    from groundup.recipe.schema import FinetuneConfig
    from groundup.train.config import ParallelConfig

    parser = Parser(
        f"finetune {kind}", _example(kind), description=f"Tune a model: {KINDS[kind][0]}."
    )
    parser.add_argument("--model", required=True, help="a model directory, .gguf file or hub id")
    rows = "files of rows" if kind != "reason" else "files of questions (the sample world's)"
    parser.add_argument("--data", nargs="+", required=kind != "reason", metavar="FILE", help=rows)
    flags = {
        "--epochs": ("epochs", "times through the rows (3)"),
        "--lora-rank": ("lora.rank", "train an adapter of this rank instead of the model"),
        "--base-bits": ("base_bits", "hold the frozen model under an adapter in 8 or 4 bits"),
    }
    if kind == "prefer":
        flags["--beta"] = ("prefer.beta", "how closely the model stays to what it was")
    for flag, (setting, about) in flags.items():
        parser.add_argument(
            flag,
            dest=setting,
            type=typed(flag),
            default=argparse.SUPPRESS,
            help=about,
            metavar=flag.rpartition("-")[2].upper(),
        )
    if kind == "instruct":
        parser.add_argument("--replay", dest="instruct.replay", nargs="+", metavar="PATH",
                            default=argparse.SUPPRESS,
                            help="general text to mix in, so that it is not forgotten")  # fmt: skip
    parser.add_argument("--out", default="runs/finetune", help="run directory (%(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on where an earlier run stopped")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    for part in (kind, "lora", "train"):
        add_settings(parser, part, FinetuneConfig.model_fields[part].annotation)  # type: ignore[arg-type]
    add_settings(parser, "parallel", ParallelConfig)
    return parser


def recipe_values(kind: str, parsed: argparse.Namespace) -> dict[str, Any]:
    """The flags as the recipe they stand for."""
    from groundup.cli.flags import given_settings

    plain = ("model", "data", "epochs", "base_bits")
    given = {name: value for name in plain if (value := getattr(parsed, name, None)) is not None}
    settings = given_settings(parsed)
    parallel = settings.pop("parallel", {})
    return {"finetune": {"objective": kind, **given, **settings}, "parallel": parallel}


def figures(finished) -> dict[str, Any]:
    """What a tuning came to, as plain values."""
    from dataclasses import asdict

    summary = asdict(finished.tuned)
    measured = summary.pop("figures")
    speed = {"tokens_per_second": summary["tokens"] / max(summary["seconds"], 1e-9)}
    return {"model": str(finished.model), **speed, **summary, **measured}
