"""Instructions: answers learned from conversations, with general text among them."""

import math
from collections.abc import Sequence
from typing import Any

from groundup.data.instructions import Conversation
from groundup.data.packing import Cuts, PackedBatches, PackedRows, fit
from groundup.data.windows import WindowConfig, Windows
from groundup.evaluate.results import Figure, Measured, Result
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.language import N_
from groundup.model.gpt import GPT
from groundup.recipe.directory import RunDirectory
from groundup.recipe.finetune.general import GeneralText, known_text
from groundup.recipe.finetune.rows import conversations, left_out
from groundup.recipe.finetune.tuning import Tuning
from groundup.recipe.schema import FinetuneConfig, Recipe
from groundup.sources.rows import BadRows
from groundup.tokenizer.chat import Message
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.loop import Run
from groundup.tune.instruct import (
    can_pack,
    encode_conversations,
    held_out_loss,
    instruct,
)
from groundup.tune.neftune import add_noise
from groundup.weights.directory import save

# While it trains, the model is looked at on so many rows of conversations.
MOST_ROWS = 32
SAMPLE_TOKENS = 64
# Rows of a long context would cost more attention than their short texts need: they are no longer than
# this, or than the longest text.
ROW_TOKENS = 512


def prepare_instruct(recipe: Recipe, run: RunDirectory, model: GPT, tokenizer: Tokenizer) -> Tuning:
    """The conversations of a recipe as a tuning of `model`."""
    config, bad = recipe.finetune, BadRows()
    settings, train = config.instruct, config.train
    learned, kept = conversations(recipe, bad)
    rows, cut = _rows(learned, config, model, tokenizer, bad)
    held_out, also_cut = _rows(kept, config, model, tokenizer, bad)
    general = known_text(recipe, run, tokenizer)
    replay = _replay(general, rows.length - 1, config)
    batches = PackedBatches(
        rows, train.micro_batch, replay, settings.replay_share if replay else 0.0
    )
    if settings.neftune_alpha:
        add_noise(model, settings.neftune_alpha)
    size, asked = train.micro_batch, kept[0].messages
    learned_rows = len(rows) / (1 - settings.replay_share if replay else 1)
    before = held_out_loss(model, held_out, size)

    def evaluate(run: Run, whole: bool) -> dict[str, Any]:
        loss = held_out_loss(model, held_out, size, None if whole else MOST_ROWS)
        return {"val_loss": loss, "sample": _sample(model, tokenizer, asked)}

    def finish() -> Measured:
        after = held_out_loss(model, held_out, size)
        figures = {
            "val_loss_before": before, "val_loss": after, "conversations": len(learned),
            "held_out_conversations": len(kept), "padding_share": rows.padding_share,
        }  # fmt: skip
        return Measured(figures, [_result(run.path.name, before, after, len(kept))])

    return Tuning(
        model, instruct, batches, math.ceil(learned_rows / size), evaluate, finish,
        lambda out: save(model, tokenizer, out), general=general, bad=bad,
        notes=_notes(bad, cut + also_cut, general, len(learned) + len(kept)),
    )  # fmt: skip


def _rows(
    of: list[Conversation], config: FinetuneConfig, model: GPT, tokenizer: Tokenizer,
    bad: BadRows,
) -> tuple[PackedRows, Cuts]:  # fmt: skip
    """The conversations as rows of the model's context, and what is cut of them."""
    settings, length = config.instruct, model.config.context_length
    encoded = encode_conversations(of, tokenizer, settings.mask, bad)
    examples, cut = fit(encoded, length)
    longest = max((len(example.ids) for example in examples), default=0)
    length = min(length, max(ROW_TOKENS, longest - 1))
    together = settings.pack and can_pack(model.config)
    return PackedRows(examples, length, together, config.train.seed), cut


def _replay(general: GeneralText | None, length: int, config: FinetuneConfig) -> Windows | None:
    """Windows of general text to mix in, where there is enough of it for one."""
    if general is None or len(general.train) <= length or not config.instruct.replay_share:
        return None
    return Windows(general.train, length, WindowConfig(seed=config.train.seed))


def _result(name: str, before: float, after: float, conversations: int) -> Result:
    """The loss on conversations that were kept aside, before and after."""
    return Result(
        "Answers: conversations kept aside",
        name,
        [Figure("loss", after, digits=4), Figure("conversations", conversations, digits=0)],
        [Figure("before", before, digits=4)],
        N_(f"the loss went from {before:.3f} to {after:.3f} ({after / before - 1:+.0%})"),
    )


def _sample(model: GPT, tokenizer: Tokenizer, messages: Sequence[Message]) -> str:
    """What the model answers to the first turn of a conversation."""
    first = next(i for i, message in enumerate(messages) if message["role"] == "assistant")
    prompt = tokenizer.encode_chat(messages[:first], add_generation_prompt=True)
    prompt = prompt[-max(1, model.config.context_length - SAMPLE_TOKENS) :]
    sampling = SamplingConfig(temperature=0, max_new_tokens=SAMPLE_TOKENS)
    ends = frozenset(tokenizer.end_ids)
    said = [token for token in Engine(model).stream(prompt, sampling, ends) if token not in ends]
    return f"{messages[first - 1]['content']} → {tokenizer.decode(said).strip()}"


def _notes(bad: BadRows, cuts: Cuts, general: GeneralText | None, good: int) -> list[str]:
    notes = left_out(bad, good)
    if str(cuts):
        notes.append(str(cuts))
    if general is None:
        notes.append(
            N_(
                "no general text is known, so none is mixed in, and what the model forgets is not "
                "measured: name some with --replay"
            )
        )
    return notes
