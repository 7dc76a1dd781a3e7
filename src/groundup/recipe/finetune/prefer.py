"""Preferences: which of two answers people prefer, learned beside the model as it was."""

from contextlib import nullcontext

from groundup.data.pairs import EncodedPairs, encode_pairs
from groundup.evaluate.intervals import Interval, wilson
from groundup.evaluate.results import Figure, Measured, Result
from groundup.language import N_
from groundup.model.gpt import GPT
from groundup.model.lora import adapter_names, use_adapter
from groundup.recipe.directory import RunDirectory
from groundup.recipe.finetune.general import known_text
from groundup.recipe.finetune.rows import left_out, preferences
from groundup.recipe.finetune.tuning import Tuning
from groundup.recipe.schema import FinetuneConfig, Recipe
from groundup.sources.rows import BadRows
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.loop import Run
from groundup.tune.prefer import (
    PreferScore,
    answer_log_probs,
    nothing_learned,
    pair_batches,
    preference,
    score_pairs,
)
from groundup.weights.directory import save

CHANCE = 0.5


def prepare_prefer(recipe: Recipe, run: RunDirectory, model: GPT, tokenizer: Tokenizer) -> Tuning:
    """The pairs of a recipe as a tuning of `model`."""
    config, bad = recipe.finetune, BadRows()
    learned, kept = (
        encode_pairs(pairs, tokenizer, model.config.context_length, bad)
        for pairs in preferences(recipe, bad)
    )
    notes = left_out(bad, len(learned) + len(kept))
    if cut := learned.cut_prompts + kept.cut_prompts:
        notes.append(N_(f"{cut:,} prompts are longer than the context: their beginnings are cut"))
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

    def finish() -> Measured:
        score = score_pairs(model, kept, config.prefer, size)
        interval = wilson(score.right, score.pairs)
        figures = {
            "reward_accuracy": score.accuracy, "reward_interval": interval,
            "reward_margin": score.margin, "pairs": len(learned), "held_out_pairs": len(kept),
        }  # fmt: skip
        return Measured(figures, [_result(run.path.name, score, interval)])

    losses: list[float] = []
    return Tuning(
        model, preference(config.prefer), pair_batches(learned, size, config.train.seed),
        max(1, len(learned) // size), evaluate, finish, lambda out: save(model, tokenizer, out),
        general=known_text(recipe, run, tokenizer), bad=bad, notes=notes,
        watch=lambda run: _watch(run, losses, config),
    )  # fmt: skip


def _result(name: str, score: PreferScore, interval: Interval) -> Result:
    return Result(
        "Preferences: pairs kept aside",
        name,
        [
            Figure("reward accuracy", score.accuracy, interval),
            Figure("margin", score.margin),
            Figure("pairs", score.pairs, digits=0),
        ],
        [Figure("chance", CHANCE)],
        N_("better than guessing which of two answers people prefer")
        if interval.low > CHANCE
        else N_("no better than guessing which of two answers people prefer"),
    )


def _with_reference(model: GPT, pairs: EncodedPairs, config: FinetuneConfig) -> EncodedPairs:
    """The pairs with what the model thinks of them before it is trained, any adapter left aside."""
    with use_adapter(model, None) if adapter_names(model) else nullcontext():
        return pairs.with_reference(answer_log_probs(model, pairs, config.train.micro_batch))


def _watch(run: Run, losses: list[float], config: FinetuneConfig) -> str | None:
    """Something to say, once, where the loss stays where it began."""
    if run.progress >= config.train.warmup:
        losses.append(run.loss)
    return nothing_learned(losses, config.prefer) if run.finished else None
