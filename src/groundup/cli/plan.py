"""`groundup plan`"""

from argparse import Namespace
from typing import Any

from groundup.cli.main import Parser
from groundup.errors import InputError
from groundup.language import N_, shown

SCALE = {
    "--gpus": "with --model: how many GPUs",
    "--gpu": "with --model: which (a100, a100-40gb, h100, h200, b200, l4, rtx-4090)",
    "--tokens": "with --model: tokens to train on (20 for each parameter)",
    "--batch-tokens": "with --model: tokens of one step, on all GPUs (as GPT-3's models have, by size)",
    "--context-length": "with --model: tokens of a window (the model's)",
    "--price": "with --model: dollars for an hour of one GPU (what published runs paid)",
    "--optimizer": "with --model: adamw or muon (muon)",
    "--dtype": "with --model: bfloat16 or float32, what is computed in (bfloat16)",
}


def main(arguments: list[str]) -> None:
    from groundup.cli.run import add_recipe

    parser = Parser(
        "plan",
        "groundup plan law-zh --data legal.jsonl",
        description="What a recipe's run will take: seconds, memory and disk, from a short trial. With "
        "--model and --gpus instead of a recipe: what training a model takes on GPUs that are not here.",
    )
    add_recipe(parser, required=False)
    parser.add_argument(
        "--model", help="a preset's name, a model directory or a config.json, instead of a recipe"
    )
    for flag, about in SCALE.items():
        parser.add_argument(flag, help=about)
    parsed = parser.parse(arguments)
    if parsed.recipe and parsed.model:
        raise InputError(
            "a recipe and --model are two questions", f"{parsed.recipe}, --model {parsed.model}",
            "name one of them",
        )  # fmt: skip
    if parsed.model:
        plan_model(parsed)
    elif parsed.recipe:
        plan_recipe(parsed)
    else:
        parser.error(
            "the following arguments are required: RECIPE\n"
            "  fix: name a recipe, or a model with --model NAME --gpus N --gpu NAME"
        )


def plan_recipe(parsed: Namespace) -> None:
    """A recipe's run on this machine."""
    from groundup.cli.run import read_given_recipe

    for flag in SCALE:
        if getattr(parsed, flag[2:].replace("-", "_")) is not None:
            raise InputError(f"{flag} goes with --model", None, "leave it out beside a recipe")
    recipe, out = read_given_recipe(parsed)

    from groundup.cli.console import ConsoleWatcher
    from groundup.cli.streams import print_json
    from groundup.recipe.plan import make_plan

    with ConsoleWatcher() as watcher:
        plan = make_plan(recipe, out, watcher)
    if parsed.json:
        print_json(plan.to_json())
    else:
        show(plan)


def plan_model(parsed: Namespace) -> None:
    """A model's training on other GPUs."""
    question = _question(parsed)

    from groundup.cli.streams import print_json
    from groundup.recipe.scale.plan import plan_at_scale

    plan = plan_at_scale(question)
    if parsed.json:
        print_json(plan.to_json())
    else:
        show_scale(plan, parsed.model)


def _question(parsed: Namespace) -> Any:
    from groundup.cli.flags import given_settings

    if parsed.data or parsed.out or given_settings(parsed):
        raise InputError(
            "--data, --out and the settings of a recipe go with a RECIPE", None,
            "leave them out beside --model",
        )  # fmt: skip
    for name in ("gpus", "gpu"):
        if getattr(parsed, name) is None:
            raise InputError(
                f"--model needs --{name} as well", None, "for example --gpus 8 --gpu h100"
            )

    from groundup.recipe.scale.gpus import find_gpu
    from groundup.recipe.scale.plan import MOST_GPUS, ask

    gpus = _whole(parsed.gpus, "--gpus", MOST_GPUS)
    optimizer = _one_of(parsed.optimizer or "muon", "--optimizer", ("adamw", "muon"))
    dtype = _one_of(parsed.dtype or "bfloat16", "--dtype", ("bfloat16", "float32"))
    return ask(
        _config(parsed), gpus, find_gpu(parsed.gpu), tokens=_whole(parsed.tokens, "--tokens"),
        batch_tokens=_whole(parsed.batch_tokens, "--batch-tokens"),
        optimizer=optimizer, dtype=dtype, price=_price(parsed.price),
    )  # fmt: skip


def _config(parsed: Namespace):
    """The configuration of a preset, a model directory or a config.json."""
    from groundup.cli.inspect import find_model
    from groundup.model.config import ModelConfig
    from groundup.model.presets import PRESETS, preset
    from groundup.weights.directory import read_config

    name = parsed.model
    if name in PRESETS:
        config = preset(name)
    else:
        place = name.removesuffix("config.json") or "." if name.endswith("config.json") else name
        config = read_config(find_model(place))
    length = _whole(parsed.context_length, "--context-length", 1 << 24)
    if length is None:
        return config
    return ModelConfig.parse(config.model_dump() | {"context_length": length})


def _whole(text: str | None, flag: str, most: int = 10**18) -> Any:
    """A whole number from 1, which may be written 2e9 or 2_000_000."""
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (1 <= number <= most and number == int(number)):
        raise InputError(
            f"{flag} is a whole number from 1 to {most:,}, not {text!r}",
            flag,
            f"for example {flag} 8",
        )
    return int(number)


def _price(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not 0 <= price < 1e6:
        raise InputError(
            f"--price is dollars for an hour of one GPU, not {text!r}", "--price", "for example 2.5"
        )
    return price


def _one_of(name: str, flag: str, known: tuple[str, ...]) -> Any:
    from groundup.errors import unknown

    if name not in known:
        raise unknown(f"value of {flag}", name, known, flag)
    return name


def show_scale(plan, model: str) -> None:
    """The plan on other GPUs as tables, the command to begin with, and what the figures rest on."""
    from rich.console import Console
    from rich.markup import escape

    question, best = plan.question, plan.best
    console = Console(highlight=False)
    console.print(
        shown(
            f"{escape(model)} on {question.gpus} x {question.gpu.name}: {question.tokens:,} tokens, "
            f"{question.batch_tokens:,} in a step, windows of {question.config.context_length:,}, "
            f"{question.optimizer}, {question.dtype}\n"
        )
    )
    console.print(_memory_table(plan))
    console.print(_layout_table(plan))
    for reason, count in _reasons(plan).items():
        console.print(
            f"[yellow]{shown('does not fit')}:[/] {count} x {escape(shown(reason))}", soft_wrap=True
        )
    rate = best.speed.tokens_per_second
    slow, fast = rate * (1 - plan.spread), rate * (1 + plan.spread)
    console.print(
        shown(
            f"\n{rate:,.0f} tokens/s ({slow:,.0f} to {fast:,.0f}): "
            f"{_span(plan.days, plan.span(plan.days), '{:,.1f}')} days"
        )
    )
    if plan.dollars is not None:
        cost = _span(plan.dollars, plan.span(plan.dollars), "{:,.0f}")
        console.print(shown(f"{cost} dollars, at {question.price:g} for an hour of a GPU"))
    console.print(f"\n{shown('begin with')}:\n  {escape(command(plan, model))}", soft_wrap=True)
    console.print(f"\n{escape(shown(basis(plan)))}", soft_wrap=True)


def _memory_table(plan):
    from rich.table import Table

    modes = plan.by_checkpointing()
    table = Table(
        title=shown("memory of one GPU in GB, one window in a pass"), title_justify="left"
    )
    table.add_column(shown("checkpointing"))
    parts = (
        N_("weights"),
        N_("gradients"),
        "optimizer",
        N_("gathered"),
        N_("activations"),
        "loss",
        "total",
    )
    for part in parts:
        table.add_column(shown(part), justify="right")
    for mode, held in modes.items():
        style = "" if held.total <= plan.question.usable else "red"
        table.add_row(mode, *(f"{getattr(held, part) / 1e9:,.2f}" for part in parts), style=style)
    return table


def _layout_table(plan):
    from rich.table import Table

    table = Table(title=shown("layouts that fit, the fastest first"), title_justify="left")
    for column in ("data x shard x tensor", "checkpointing", "micro-batch", "memory", "tokens/s"):
        table.add_column(shown(column), justify="left" if column == "checkpointing" else "right")
    for choice in plan.choices[:10]:
        layout = choice.layout
        table.add_row(
            f"{layout.data} x {layout.shard} x {layout.tensor}", layout.checkpointing,
            f"{layout.micro_batch} x {layout.accumulation}", _size(choice.memory.total),
            f"{choice.speed.tokens_per_second:,.0f}",
        )  # fmt: skip
    return table


def _reasons(plan) -> dict[str, int]:
    """Why layouts do not fit, each reason once; of those that are too large, the nearest."""
    import math
    from collections import Counter

    large = [each for each in plan.refused if each.least < math.inf]
    reasons = Counter(each.reason for each in plan.refused if each.least == math.inf)
    if large:
        reasons[min(large, key=lambda each: each.least).reason + " (the nearest)"] = len(large)
    return dict(reasons)


def _span(figure: float, span: tuple[float, float], form: str) -> str:
    low, high = (form.format(each) for each in span)
    return N_(f"{form.format(figure)} ({low} to {high})")


def command(plan, model: str) -> str:
    """How the best layout is begun."""
    from groundup.model.presets import PRESETS
    from groundup.recipe.scale.gpus import GPUS_IN_A_MACHINE

    layout, question = plan.best.layout, plan.question
    machines = -(-question.gpus // GPUS_IN_A_MACHINE)
    each = question.gpus // machines
    nodes = "--standalone "
    if machines > 1:
        nodes = f"--nnodes {machines} --rdzv_backend c10d --rdzv_endpoint HOST:29500 "
    begin = f"--preset {model}" if model in PRESETS else f"--from {model}"
    steps = -(-question.tokens // question.batch_tokens)
    passes = (
        layout.accumulation * layout.data * layout.shard
    )  # of all processes that read different text
    return (
        f"torchrun {nodes}--nproc_per_node {each} --no-python groundup pretrain --data TEXT {begin} "
        f"--train.optimizer {question.optimizer} --train.micro_batch {layout.micro_batch} "
        f"--train.grad_accumulation {passes} --train.steps {steps} "
        f"--parallel.data {layout.data} --parallel.shard {layout.shard} "
        f"--parallel.tensor {layout.tensor} --parallel.checkpointing {layout.checkpointing} "
        f"--parallel.dtype {question.dtype}"
    )


def basis(plan) -> str:
    """What the figures rest on."""
    gpu = plan.question.gpu
    rests = {
        "ampere": N_(
            "torchtitan's Llama 3 8B on 64 A100; 18 other published runs were within 25 %"
        ),
        "hopper": N_(
            "torchtitan's Llama 3.1 8B on 8 H100; 13 of 14 other published runs were within 25 %"
        ),
        "ada": N_("one report (GPT-2 124M on an RTX 4090), which nothing bears out"),
        "blackwell": N_("Hopper's figure, as no published run was found for it"),
    }
    return N_(
        f"reckoned, not measured: {gpu.efficiency:.1%} of a peak of {gpu.peak / 1e12:,.0f} TFLOP/s, from "
        f"{rests[gpu.generation]}. See the guide, docs/en/planning.md."
    )


def show(plan) -> None:
    """The plan as a table, and what stands against it."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(shown("stage"), shown("state"), shown("time"), shown("memory"), shown("disk"))
    for stage in plan.stages:
        figures = (
            ("", "", "")
            if stage.state == "done"
            else (_time(stage.seconds), _size(stage.memory_bytes), _size(stage.disk_bytes))
        )
        table.add_row(shown(stage.name), shown(stage.state), *figures)
    table.add_row(
        shown("in all"), "", _time(plan.seconds), _size(plan.memory_bytes), _size(plan.disk_bytes)
    )
    console.print(table)
    for problem in plan.problems:
        console.print(f"[red]{shown('does not fit')}:[/] {escape(shown(problem))}")
    for note in plan.notes:
        console.print(f"[yellow]{shown('note')}:[/] {escape(shown(note))}")


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _size(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
