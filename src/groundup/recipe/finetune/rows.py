"""Which rows a tuning learns from, and which of them are kept aside to measure with."""

from groundup.data.examples import read_examples
from groundup.data.instructions import Conversation, read_conversations
from groundup.data.pairs import Pair, read_pairs, split_pairs
from groundup.data.parts import Parts, divide
from groundup.errors import InputError
from groundup.recipe.schema import Recipe
from groundup.sources.rows import BadRows, read_rows
from groundup.tune.instruct import split_conversations
from groundup.world.documents import training_documents

# Of the sample world: not the documents that a model was made from, but others of the same kind, and
# this share of their number.
WORLD_SEED, WORLD_SHARE = 1, 0.2


def row_files(recipe: Recipe) -> list[str]:
    """The files of rows: those of the tuning, or else the text of the recipe."""
    data = recipe.data
    paths = recipe.finetune.data or data.paths or [p for part in data.sources for p in part.paths]
    if not paths:
        raise InputError("no rows to learn from", "finetune.data", "name files with --data")
    return paths


def labelled_rows(recipe: Recipe, bad: BadRows) -> Parts:
    """Texts with labels: to learn from, to decide when to stop, and to test."""
    config = recipe.finetune.classify
    return divide(read_examples(row_files(recipe), config, bad), config)


def conversations(recipe: Recipe, bad: BadRows) -> tuple[list[Conversation], list[Conversation]]:
    """Conversations to learn from, and others to measure with."""
    settings = recipe.finetune.instruct
    if recipe.data.is_world and not recipe.finetune.data:
        found = _world_conversations(recipe.data.world_documents)
    else:
        found = read_conversations(row_files(recipe), bad)
    return split_conversations(found, settings.held_out, settings.split_seed)


def preferences(recipe: Recipe, bad: BadRows) -> tuple[list[Pair], list[Pair]]:
    """Pairs of answers to learn from, and others to measure with."""
    settings = recipe.finetune.prefer
    pairs = read_pairs(read_rows(row_files(recipe), bad), bad)
    return split_pairs(pairs, settings.held_out, settings.split_seed)


def left_out(bad: BadRows, good: int) -> list[str]:
    """What is to be said of rows that are no use, if there are any beside the `good` ones."""
    return [bad.summary(good)] if bad else []


def _world_conversations(documents: int) -> list[Conversation]:
    told = training_documents(WORLD_SEED, max(100, int(WORLD_SHARE * documents)))
    return [
        Conversation(
            [{"role": role, "content": said} for role, said in document.turns], "sample world"
        )
        for document in told
        if document.turns[0][0]
    ]
