"""Symptoms in the curves: what loss and gradient did over the steps."""

import lzma
import math
from collections.abc import Iterator
from statistics import median
from typing import Any

import numpy as np

from groundup.doctor.finding import Finding
from groundup.doctor.run import ExaminedRun
from groundup.language import N_
from groundup.train.health import straggler

LEAST_ROWS = 6
"""Rows of steps below which a curve has no shape yet."""
FREQUENCY_STEPS = 300
"""Steps by which any model that sees its input has learned more than the frequencies of tokens."""


def first_loss(run: ExaminedRun) -> Iterator[Finding]:
    """Before its first step a model knows nothing, so each token should cost ln(vocabulary) nats;
    a little more where the head is the embedding (the token read then looks likely: the untrained
    transformer of 2017 begins at 1.23 times ln). More than 1.3 · ln + 1 is no plausible beginning.
    Less is none either, unless the run began from a trained model, which a run directory does not
    tell; so that is left to the symptoms that look at the weights."""
    if not run.steps or run.steps[0]["step"] != 1 or not run.config:
        return
    loss, uniform = run.steps[0]["loss"], math.log(run.config.vocab_size)
    if loss > 1.3 * uniform + 1:
        yield Finding(
            "first-loss", "the loss begins far above that of guessing",
            f"{loss:.2f} at step 1; ln({run.config.vocab_size}) = {uniform:.2f} ({_where(run)})",
            "the starting weights are too large, or the loss is a sum or scaled: embeddings and head "
            "begin with a standard deviation of about 0.02, and the loss is a mean over the targets",
        )  # fmt: skip


def nothing_learned(run: ExaminedRun) -> Iterator[Finding]:
    """A loss that stays at ln(vocabulary). The rarest characters alone give a model a tenth of it
    in a few dozen steps, so 2 % in half a run of at least 50 steps is nothing."""
    if not _has_shape(run) or not run.config or run.steps[-1]["step"] < 50:
        return
    uniform, late = math.log(run.config.vocab_size), _late_loss(run)
    if abs(late - uniform) < 0.02 * uniform and abs(run.steps[0]["loss"] - late) < 0.05 * uniform:
        yield Finding(
            "nothing-learned", "the loss stays where guessing is",
            f"{late:.3f} in the last quarter up to step {run.steps[-1]['step']}; "
            f"ln({run.config.vocab_size}) = {uniform:.3f} ({_where(run)})",
            "look whether gradients reach the weights and the optimiser holds them, and raise the "
            "learning rate tenfold",
        )  # fmt: skip


def only_frequencies(run: ExaminedRun) -> Iterator[Finding]:
    """A loss that has come to rest at the entropy of single tokens: how often each one comes was
    learned, and nothing of what it follows. Any model that sees its input gets below it, since a
    token tells much about the next (Shannon 1951): 3 % around it, and no fall of 2 % any more. AdamW
    with GPT-2's starting weights rests there too for its first hundred steps, so the run must have
    gone on for `FREQUENCY_STEPS`."""
    if not _has_shape(run) or not run.train or run.train_config.answer_weight != 1:
        return
    if run.steps[-1]["step"] < FREQUENCY_STEPS:
        return
    losses = [row["loss"] for row in run.steps]
    entropy, late, before = _unigram_entropy(run), _late_loss(run), _quarter(losses, 2)
    if abs(late - entropy) < 0.03 * entropy and before - late < 0.02 * entropy:
        yield Finding(
            "only-frequencies", "only the frequencies of the tokens were learned, not their order",
            f"loss {late:.3f} in the last quarter, {before:.3f} in the one before; entropy of single "
            f"tokens {entropy:.3f} ({_where(run)})",
            "what the model reads does not tell what it is to say: look whether inputs and targets "
            "belong together and attention's output arrives; otherwise lower the learning rate or "
            "train longer",
        )  # fmt: skip


def too_low(run: ExaminedRun) -> Iterator[Finding]:
    """A training loss that no model can have of text it reads for the first time: below a quarter
    of what xz needs for the same tokens. Even a model of 70 billion parameters writes Wikipedia in
    a third of LZMA2's bytes (Delétang et al. 2024, table 1), and copies within the text help xz
    too."""
    if not _has_shape(run) or not run.train or run.train_config.answer_weight != 1:
        return
    late, read = _late_loss(run), run.steps[-1]["tokens"] / max(1, len(run.train))
    if read > 1.5 or late > 2:  # memorised; or too high to be worth the second that xz takes
        return
    compressed = _compressed_loss(run)
    if late < 0.25 * compressed:
        yield Finding(
            "loss-too-low", "the loss is lower than can be: the targets leak into the inputs",
            f"{late:.3f} in the last quarter, up to step {run.steps[-1]['step']}, after {read:.1f} "
            f"epochs; xz needs {compressed:.2f} nats per token ({_where(run)})",
            "look for a missing causal mask, targets that are not shifted, or text that repeats",
        )  # fmt: skip


def not_a_number(run: ExaminedRun) -> Iterator[Finding]:
    """A loss or gradient that is no number, in the rows or as the reason why the run stopped."""
    for row in run.rows:
        if row.get("stopped") or not _finite(row):
            said = row.get("stopped") or N_(f"loss {row['loss']}, gradient {row['gradient_norm']}")
            yield Finding(
                "not-a-number", "the training met a number that is none",
                f"step {row['step']}: {said} ({_where(run)})",
                "go on from the last good checkpoint with half the learning rate or a longer warm-up; "
                "if it happens at the same step again, it is in the data or in a part of the model "
                "(a logarithm or root of 0, a division by 0)",
            )  # fmt: skip
            return


def spikes(run: ExaminedRun) -> Iterator[Finding]:
    """Steps whose loss leaps up and comes back: a bad batch, or a rate at the edge (PaLM, Chowdhery
    et al. 2022, section 5.1). Six times the usual scatter around the neighbours, and at least a
    sixth of the first loss: small batches scatter too."""
    if len(run.steps) < 2 * LEAST_ROWS:
        return
    losses = np.array([row["loss"] for row in run.steps])
    around = np.array([np.median(_without(losses, i, 3)) for i in range(len(losses))])
    scatter = 1.4826 * np.median(np.abs(losses - around))  # of a normal distribution
    limit = max(6 * scatter, losses[0] / 6)
    # The first rows fall steeply, so their neighbours say nothing of them.
    high = [i for i in range(3, len(losses) - 1) if losses[i] - around[i] > limit]
    if high:
        worst = max(high, key=lambda i: losses[i] - around[i])
        yield Finding(
            "loss-spike", f"the loss leaps up at {len(high)} of {len(losses)} logged steps",
            f"{losses[worst]:.2f} at step {run.steps[worst]['step']}, {around[worst]:.2f} around it "
            f"({_where(run)})",
            "look at the text of that batch for what is no text; otherwise lower the learning rate or "
            "clip_norm, or lengthen the warm-up",
        )  # fmt: skip


def diverging(run: ExaminedRun) -> Iterator[Finding]:
    """A loss that rises by a quarter of ln(vocabulary) above the best it had and stays there for
    three logged steps, or until the end: each step goes further than the slope is valid."""
    if not run.config:
        return
    best, risen, rise = math.inf, [], 0.25 * math.log(run.config.vocab_size)
    for row in run.steps:
        best = min(best, row["loss"])
        risen = [*risen, row] if row["loss"] > best + rise else []
        if len(risen) == 3 or (len(risen) == 2 and row is run.steps[-1]):
            yield Finding(
                "learning-rate-too-high", "the loss climbs and does not come back",
                f"{risen[0]['loss']:.2f} at step {risen[0]['step']}, {best:.2f} before "
                f"({_where(run)}); learning_rate {run.train_config.learning_rate:g}, "
                f"matrix_learning_rate {run.train_config.matrix_learning_rate:g}",
                "lower the learning rate by three to ten times, or lengthen the warm-up",
            )  # fmt: skip
            return


def no_gradient(run: ExaminedRun) -> Iterator[Finding]:
    """A gradient of (nearly) nothing where there is much to learn. A healthy one is between 0.01
    and 10 for a mean loss above half a nat; below 1e-6 rounding eats it."""
    if len(run.steps) < 2:
        return
    late = run.steps[len(run.steps) // 2 :]
    norm, loss = median(r["gradient_norm"] for r in late), median(r["loss"] for r in late)
    if norm < 1e-6 and loss > 0.5:
        yield Finding(
            "no-gradient", "no gradient reaches the weights",
            f"median length {norm:.2g} from step {late[0]['step']} on, at a loss of {loss:.2f} "
            f"({_where(run)})",
            "a part of the model cuts the gradient (detach, no_grad, a multiplication by 0, an "
            "activation that is flat where its inputs are)",
        )  # fmt: skip


def exploding_gradient(run: ExaminedRun) -> Iterator[Finding]:
    """Gradients that are always longer than clip_norm by a factor of 100: every step then has the
    same length, whatever the slope (Pascanu et al. 2013 clip the exception). Healthy runs here
    stay below 10 times after their first steps."""
    if len(run.steps) < 3:
        return
    late = run.steps[len(run.steps) // 2 :]
    norm, clip = median(r["gradient_norm"] for r in late), run.train_config.clip_norm
    if norm > 100 * clip:
        yield Finding(
            "exploding-gradient", "the gradients explode: every step is clipped",
            f"median length {norm:.3g} from step {late[0]['step']} on; clip_norm {clip:g} "
            f"({_where(run)})",
            "look for starting weights that are too large, a missing norm or residual scale, or a "
            "loss that is summed; only then lower the learning rate",
        )  # fmt: skip


def slowing_down(run: ExaminedRun) -> Iterator[Finding]:
    """Steps that take three times as long in the last quarter as in the first, and have cost at
    least five seconds so: less is another program passing by."""
    times = [(r["step"], r["seconds"]) for r in run.steps]
    pairs = list(zip(times, times[1:], strict=False))
    if len(pairs) < LEAST_ROWS:
        return
    each = [(t1 - t0) / max(1, s1 - s0) for (s0, t0), (s1, t1) in pairs]
    first, last = _quarter(each, 0), _quarter(each, 3)
    lost = (last - first) * (times[-1][0] - times[-len(times) // 4][0])
    if last > 3 * first and lost > 5:
        yield Finding(
            "slowing-down", "the steps become slower and slower",
            f"{first:.3f} s a step in the first quarter, {last:.3f} s in the last, up to step "
            f"{times[-1][0]} ({_where(run)})",
            "another program takes the processor, the memory is full and swaps (see `groundup "
            "doctor`), or the processor is too hot and throttles",
        )  # fmt: skip


def slow_process(run: ExaminedRun) -> Iterator[Finding]:
    """One of several processes that took 1.3 times as long as the usual one in most of the last logged
    steps: all others wait for it in every step (Jiang et al. 2024, MegaScale)."""
    if found := straggler(run.processes):
        yield Finding(
            "straggler", "the other processes wait for a slow one",
            found.evidence(run.processes_path), found.cure,
        )  # fmt: skip


def _where(run: ExaminedRun) -> str:
    return str(run.metrics_path)


def _has_shape(run: ExaminedRun) -> bool:
    return len(run.steps) >= LEAST_ROWS and all(map(_finite, run.steps))


def _finite(row: dict[str, Any]) -> bool:
    return all(math.isfinite(row[name]) for name in ("loss", "gradient_norm") if name in row)


def _quarter(values: list[float], which: int) -> float:
    """The median of one of the four quarters of `values`."""
    edges = np.linspace(0, len(values), 5).round().astype(int)
    return median(values[edges[which] : edges[which + 1]])


def _late_loss(run: ExaminedRun) -> float:
    return _quarter([row["loss"] for row in run.steps], 3)


def _without(values: np.ndarray, i: int, reach: int) -> np.ndarray:
    """The `reach` neighbours of value `i` on either side, without itself."""
    return np.concatenate([values[max(0, i - reach) : i], values[i + 1 : i + 1 + reach]])


def _unigram_entropy(run: ExaminedRun) -> float:
    """Entropy of single training tokens, in nats: of a million, where there are more."""
    assert run.train is not None
    counts = np.bincount(run.train.read(0, min(len(run.train), 1 << 20)))
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())


def _compressed_loss(run: ExaminedRun) -> float:
    """What xz needs for a training token, in nats: of a quarter million, where there are more."""
    assert run.train is not None
    ids = run.train.read(0, min(len(run.train), 1 << 18)).astype("<u4")
    # Byte by byte: all the first bytes, then all the second ones, which are nearly all equal.
    planes = ids.view(np.uint8).reshape(len(ids), 4).T.tobytes()
    return 8 * math.log(2) * min(map(len, map(lzma.compress, (ids.tobytes(), planes)))) / len(ids)
