"""All symptoms of a run, and which of them only follow from others."""

from collections.abc import Callable, Iterator
from pathlib import Path

from groundup.doctor import curves, files, fit, rates, text, weights
from groundup.doctor.finding import Finding
from groundup.doctor.run import ExaminedRun

SYMPTOMS: tuple[Callable[[ExaminedRun], Iterator[Finding]], ...] = (
    files.damage, files.broken_off, files.disk_full,
    weights.no_causal_mask, weights.targets_not_shifted, weights.frozen_weights,
    weights.bad_weights, weights.not_reproduced,
    curves.not_a_number, curves.first_loss, curves.no_gradient, curves.exploding_gradient,
    curves.diverging, curves.spikes, curves.too_low, curves.nothing_learned, curves.only_frequencies,
    curves.slowing_down, curves.slow_process,
    rates.too_low, rates.no_decay, rates.long_warm_up,
    text.vocabulary_mismatch, text.long_text_of_short_tokens, text.unused_ids,
    text.unknown_characters, text.sorted_data, text.sample_repeats,
    fit.validation_in_training, fit.little_validation, fit.repeated_data, fit.model_too_large,
    fit.memorising,
)  # fmt: skip

_NOT_LEARNING = {"nothing-learned", "only-frequencies", "frozen-weights", "sample-repeats"}
CONSEQUENCES: dict[str, set[str]] = {
    "damaged-file": {"vocabulary-mismatch", "loss-not-reproduced", "broken-off"},
    "vocabulary-mismatch": {"tokenizer-misfit", "unused-vocabulary", "loss-not-reproduced"},
    "not-a-number": {"broken-off", "bad-weights", "learning-rate-too-high"},
    "bad-weights": {"no-causal-mask", "loss-not-reproduced"},
    "loss-not-reproduced": {"loss-too-low", "sample-repeats"},
    "loss-too-low": {"sample-repeats"},
    "no-causal-mask": {"loss-too-low", "loss-not-reproduced", "sample-repeats", "memorising"},
    "targets-not-shifted": {"loss-too-low", "loss-not-reproduced", "sample-repeats", "memorising"},
    "no-gradient": _NOT_LEARNING | {"learning-rate-too-low"},
    "learning-rate-too-low": _NOT_LEARNING,
    "frozen-weights": {"nothing-learned", "only-frequencies"},
    "learning-rate-too-high": _NOT_LEARNING | {"loss-spike", "exploding-gradient", "memorising"},
    "first-loss": {"exploding-gradient"},
    "tokenizer-misfit": {"unused-vocabulary"},
    "sorted-data": {"memorising", "loss-spike", "learning-rate-too-high"},
    "sample-repeats": {"validation-in-training"},
}
"""Where the first is found, the others are its doing and are not told."""


def examine(path: Path | str) -> list[Finding]:
    """What is wrong with the run in `path`, finished or under way; an empty list for a healthy one.

    Raises `InputError` where `path` is no run directory.
    """
    run = ExaminedRun(Path(path))
    found = [finding for symptom in SYMPTOMS for finding in symptom(run)]
    kinds = {finding.kind for finding in found}
    explained = {kind for cause in kinds for kind in CONSEQUENCES.get(cause, ())}
    return [finding for finding in found if finding.kind not in explained]
