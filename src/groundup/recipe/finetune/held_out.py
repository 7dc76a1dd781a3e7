"""What a tuning keeps for validation and test must not stand in the text that the model is made from."""

from collections.abc import Callable
from typing import Any

from groundup.recipe.finetune.classify import held_out_labelled
from groundup.recipe.finetune.instruct import held_out_conversations
from groundup.recipe.finetune.prefer import held_out_preferences
from groundup.recipe.finetune.rows import row_files
from groundup.recipe.schema import Recipe
from groundup.sources.fingerprint import fingerprint
from groundup.sources.source import Piece

# Questions whose answers are checked come from the sample world, which keeps its own facts back.
TEXTS: dict[str, Callable[[Recipe], list[str]]] = {
    "classify": held_out_labelled,
    "instruct": held_out_conversations,
    "prefer": held_out_preferences,
}


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
