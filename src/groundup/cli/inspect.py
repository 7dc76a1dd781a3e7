"""`groundup inspect`"""

from groundup.cli.main import Parser


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
    from groundup.model.presets import PRESETS, preset
    from groundup.weights.directory import find, read_config

    is_preset = parsed.model in PRESETS
    config = preset(parsed.model) if is_preset else read_config(find(parsed.model))
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
