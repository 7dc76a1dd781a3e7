"""General text: mixed into a tuning so that the model does not forget it, and measured before and after.

It is what the user names, or, for a model that groundup has pretrained, the text that it was made from,
which lies beside it in its run directory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from groundup.data.shards import Tokens, open_shards, write_shards
from groundup.data.windows import evaluation_windows
from groundup.evaluate.forgetting import Panel
from groundup.evaluate.language import score_each
from groundup.language import N_
from groundup.model.gpt import GPT
from groundup.recipe.directory import RunDirectory
from groundup.recipe.documents import VALIDATION, read_index, read_source
from groundup.recipe.encode import sources_of, training_tokens, validation_tokens
from groundup.recipe.schema import Recipe, read_recipe
from groundup.sources.read import read_pieces
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.directory import find

# Of the general text so much is measured, before and after.
MOST_TOKENS = 20_000


@dataclass(frozen=True)
class GeneralText:
    """Token ids to mix in, and others, never trained on, to measure on."""

    train: Tokens
    validation: Tokens


def known_text(recipe: Recipe, run: RunDirectory, tokenizer: Tokenizer) -> GeneralText | None:
    """What the model of a tuning knew first: the text that is named, or that of the model that was gone
    on from, or the run's own."""
    named = recipe.finetune.model or recipe.pretrain.begin_from
    begun = find(named) if named else run.pretrained
    replay = recipe.finetune.instruct.replay if recipe.finetune.kind == "instruct" else []
    return general_text(replay, begun, tokenizer, run.finetune / "general")


def general_text(
    paths: Sequence[str], model: Path, tokenizer: Tokenizer, folder: Path
) -> GeneralText | None:
    """The general text of a tuning of `model`; text of `paths` is encoded into `folder`. None where
    nothing is named and the model's own text is not there."""
    if paths:
        write_shards(read_pieces(paths), tokenizer, folder)
        return GeneralText(*(open_shards(folder, s, tokenizer) for s in ("train", "validation")))
    run = RunDirectory(model.parent.parent)
    if not (run.tokens / "tokens.json").is_file():
        return None
    if Tokenizer.load(run.tokenizer).fingerprint != tokenizer.fingerprint:
        return _encoded_anew(run, tokenizer, folder)
    train = Tokens.joined(training_tokens(run, tokenizer).values())
    return GeneralText(train, validation_tokens(run, tokenizer))


def _encoded_anew(run: RunDirectory, tokenizer: Tokenizer, folder: Path) -> GeneralText:
    """The text of a run for a tokenizer that knows more tokens than its own. What the run kept for
    validation is kept again."""
    data = read_recipe(str(run.recipe), {}).data
    kept = read_index(run.corpus)["sources"]
    validation = read_source(run.corpus, VALIDATION) if VALIDATION in kept else None
    pieces = chain.from_iterable(read_source(run.corpus, name) for name in sources_of(run))
    write_shards(
        pieces, tokenizer, folder, validation, data.validation_fraction, allow_special=data.is_world
    )
    return GeneralText(*(open_shards(folder, s, tokenizer) for s in ("train", "validation")))


def general_panel(model: GPT, general: GeneralText | None) -> Panel:
    """How well the model predicts the general text that was kept aside: of each window by itself. An
    empty panel where there is none."""
    if general is None:
        return Panel({}, {})
    text = general.validation
    windows = evaluation_windows(text, model.config.context_length, MOST_TOKENS)
    scores = score_each(model, windows, text.bytes_per_token)
    return Panel({N_("general text"): [[score] for score in scores]}, {})
