"""`groundup inspect`"""

from pathlib import Path

from groundup.cli.main import Parser
from groundup.errors import InputError, nearest


def main(arguments: list[str]) -> None:
    parser = Parser(
        "inspect",
        "groundup inspect gpt-2-small",
        description="What a model is made of and what it costs, without loading its weights.",
    )
    parser.add_argument("model", metavar="MODEL", help="a model directory, or a preset's name")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parsed = parser.parse(arguments)

    from groundup.cli.console import print_json
    from groundup.model import cost

    config = read_named_config(parsed.model)
    parts = cost.parameters(config)
    figures = {
        "architecture": config.model_dump(),
        "parameters": sum(parts.values()),
        "parameters_by_part": parts,
        "flops_per_token": cost.forward_flops_per_token(config),
        "training_flops_per_token": cost.training_flops_per_token(config),
        "memory_bytes": cost.memory_bytes(config),
    }
    if parsed.json:
        print_json(figures)
        return
    for name, value in config.model_dump().items():
        print(f"{name:<20} {value}")
    print()
    for part, count in [*parts.items(), ("total", sum(parts.values()))]:
        print(f"{part:<20} {count:>15,} parameters")
    print(f"{'forward':<20} {figures['flops_per_token']:>15,} FLOPs per token")
    for what, size in figures["memory_bytes"].items():
        print(f"{what:<20} {size:>15,} bytes")


def read_named_config(name: str):
    """The configuration of a preset, or of a model directory."""
    from groundup.model.presets import PRESETS, preset
    from groundup.weights.directory import find, read_config

    if name in PRESETS:
        return preset(name)
    folders = [path.name for path in Path().iterdir() if path.is_dir()]
    close = nearest(name, [*PRESETS, *folders])
    if close and not Path(name).exists() and Path(name).name == name:
        raise InputError(
            "there is no such preset or model directory", name, f"did you mean {close!r}?"
        )
    return read_config(find(name))
