"""What a tuning keeps aside to measure with must not stand in the text that the model is made from."""

from collections.abc import Callable
from typing import Any

from groundup.recipe.finetune.rows import conversations, labelled_rows, preferences, row_files
from groundup.recipe.schema import Recipe
from groundup.sources.fingerprint import fingerprint
from groundup.sources.rows import BadRows
from groundup.sources.source import Piece


def held_out(recipe: Recipe) -> list[Piece]:
    """The rows that the tuning keeps aside, as documents."""
    if not _is_asked_for(recipe):
        return []
    texts = TEXTS[recipe.finetune.kind](recipe)
    return [Piece(text, True, f"held-out row {n}") for n, text in enumerate(texts, start=1)]


def held_out_key(recipe: Recipe) -> Any:
    """What decides them, as plain values."""
    if not _is_asked_for(recipe):
        return None
    kind = recipe.finetune.kind
    settings = recipe.finetune.model_dump(include={kind})
    return [kind, settings, fingerprint(row_files(recipe))]


def _is_asked_for(recipe: Recipe) -> bool:
    kept = recipe.finetune.objective in TEXTS and not recipe.data.is_world
    return kept and recipe.data.hold_out


def _labelled(recipe: Recipe) -> list[str]:
    parts = labelled_rows(recipe, BadRows())
    return [example.text for example in (*parts.validation, *parts.test)]


def _conversations(recipe: Recipe) -> list[str]:
    _, kept = conversations(recipe, BadRows())
    return ["\n".join(message["content"] for message in c.messages) for c in kept]


def _preferences(recipe: Recipe) -> list[str]:
    _, kept = preferences(recipe, BadRows())
    return ["\n".join([*(m["content"] for m in pair.prompt), pair.chosen]) for pair in kept]


# Questions whose answers are checked come from the sample world, which keeps its own facts back.
TEXTS: dict[str, Callable[[Recipe], list[str]]] = {
    "classify": _labelled, "instruct": _conversations, "prefer": _preferences,
}  # fmt: skip
