"""Preferences: which of two answers people prefer, learned beside the model as it was."""

from contextlib import nullcontext
from typing import Any

from groundup.data.pairs import EncodedPairs, encode_pairs
from groundup.evaluate.intervals import wilson
from groundup.model.gpt import GPT
from groundup.model.lora import adapter_names, use_adapter
from groundup.recipe.directory import RunDirectory
from groundup.recipe.finetune.rows import left_out, preferences
from groundup.recipe.finetune.tuning import Tuning
from groundup.recipe.schema import FinetuneConfig, Recipe
from groundup.sources.rows import BadRows
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.loop import Run
from groundup.tune.prefer import (
    answer_log_probs,
    nothing_learned,
    pair_batches,
    preference,
    score_pairs,
)
from groundup.weights.directory import save


def prepare_prefer(recipe: Recipe, run: RunDirectory, model: GPT, tokenizer: Tokenizer) -> Tuning:
    """The pairs of a recipe as a tuning of `model`."""
    config, bad = recipe.finetune, BadRows()
    learned, kept = (
        encode_pairs(pairs, tokenizer, model.config.context_length, bad)
        for pairs in preferences(recipe, bad)
    )
    notes = left_out(bad, len(learned) + len(kept))
    if cut := learned.cut_prompts + kept.cut_prompts:
        notes.append(f"{cut:,} prompts are longer than the context: their beginnings are cut")
    if config.prefer.needs_reference:
        learned, kept = (_with_reference(model, pairs, config) for pairs in (learned, kept))
    size = config.train.micro_batch

    def evaluate(run: Run, whole: bool) -> dict[str, float]:
        score = score_pairs(model, kept, config.prefer, size)
        return {
            "val_loss": score.loss,
            "reward_accuracy": score.accuracy,
            "reward_margin": score.margin,
        }

    def finish() -> dict[str, Any]:
        score = score_pairs(model, kept, config.prefer, size)
        return {
            "reward_accuracy": score.accuracy,
            "reward_interval": wilson(score.right, score.pairs),
            "reward_margin": score.margin,
            "pairs": len(learned),
            "held_out_pairs": len(kept),
        }

    losses: list[float] = []
    return Tuning(
        model, preference(config.prefer), pair_batches(learned, size, config.train.seed),
        max(1, len(learned) // size), evaluate, finish, lambda out: save(model, tokenizer, out),
        notes=notes, watch=lambda run: _watch(run, losses, config),
    )  # fmt: skip


def _with_reference(model: GPT, pairs: EncodedPairs, config: FinetuneConfig) -> EncodedPairs:
    """The pairs with what the model thinks of them before it is trained, any adapter left aside."""
    with use_adapter(model, None) if adapter_names(model) else nullcontext():
        return pairs.with_reference(answer_log_probs(model, pairs, config.train.micro_batch))


def _watch(run: Run, losses: list[float], config: FinetuneConfig) -> str | None:
    """Something to say, once, where the loss stays where it began."""
    if run.progress >= config.train.warmup:
        losses.append(run.loss)
    is_last = run.state.step == run.config.steps
    return nothing_learned(losses, config.prefer) if is_last else None
