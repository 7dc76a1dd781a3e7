"""Which rows a tuning learns from."""

from groundup.errors import InputError
from groundup.recipe.schema import Recipe


def row_files(recipe: Recipe) -> list[str]:
    """The files of rows: those of the tuning, or else the text of the recipe."""
    data = recipe.data
    paths = recipe.finetune.data or data.paths or [p for part in data.sources for p in part.paths]
    if not paths:
        raise InputError("no rows to learn from", "finetune.data", "name files with --data")
    return paths


def left_out(bad_rows: int, summary: str) -> list[str]:
    """What is to be said of rows that are no use, if there are any."""
    return [summary] if bad_rows else []
