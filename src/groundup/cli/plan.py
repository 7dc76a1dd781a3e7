"""`groundup plan`"""

from groundup.cli.main import Parser
from groundup.language import shown


def main(arguments: list[str]) -> None:
    from groundup.cli.run import add_recipe, read_given_recipe

    parser = Parser(
        "plan",
        "groundup plan law-zh --data legal.jsonl",
        description="What a recipe's run will take: seconds, memory and disk, from a short trial.",
    )
    add_recipe(parser)
    parsed = parser.parse(arguments)
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
