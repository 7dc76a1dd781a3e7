"""Exercises on the training loop."""

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from groundup.errors import TrainingError
from groundup.lab.exercise import Draw, Exercise, Mistake
from groundup.language import N_
from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.train.config import TrainConfig
from groundup.train.loop import Run
from groundup.train.objectives import next_token
from groundup.train.optimizers import build_optimizers

VOCAB = 11


@cache
def tiny_model() -> GPT:
    """Drawn once, without a trace in torch's random numbers."""
    with torch.random.fork_rng(devices=[]):
        config = preset(
            "nano", vocab_size=VOCAB, d_model=8, n_layers=1, n_heads=2, context_length=8
        )
        return GPT(config)


def started(**settings: Any) -> Run:
    """The training of a tiny model, whose weights are the same for the same seed of torch."""
    model, config = tiny_model(), TrainConfig(micro_batch=2, **settings)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
        parameter.grad = None
    return Run(model, config, build_optimizers(model, config))


def of_ids(ids: Tensor, asked: list[int]) -> Callable[[int], Any]:
    """Micro-batches from a table of them; `asked` is told the numbers that were asked for."""

    def batches(n: int) -> Any:
        asked.append(n)
        return ids[n % len(ids)].numpy()

    return batches


def with_perplexity(model: GPT, ids: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
    """The plain objective, with a figure beside the loss."""
    loss = next_token(model, ids)
    return loss, {"perplexity": loss.detach().exp()}


def micro_batches(draw: Draw) -> tuple:
    accumulation, steps_before = draw.in_turn([2, 3, 1, 2, 1]), draw.in_turn([1, 2, 0])
    return draw.integers(VOCAB, 16, 2, draw.integer(5, 8)), accumulation, steps_before


def gradients_of_a_step(part: Callable, ids: Tensor, accumulation: int, step: int) -> dict:
    run, asked = started(grad_accumulation=accumulation), []
    run.state.step, run.state.tokens = step, 100
    part(run, of_ids(ids, asked), with_perplexity if step == 2 else next_token)
    return {
        "micro-batches asked for": asked,
        "loss": run.loss,
        "gradients": {name: p.grad for name, p in run.model.named_parameters()},
        "figures": run.figures,
        "tokens": run.state.tokens,
    }


def a_few_steps(draw: Draw) -> tuple:
    settings = {
        "optimizer": draw.in_turn(["adamw", "muon"]),
        "schedule": draw.in_turn(["cosine", "wsd", "cosine"]),
        "clip_norm": draw.in_turn([0.05, 0.5]),
    }
    bad_step = draw.in_turn([None, None, 1])
    return draw.integers(VOCAB, 16, 2, draw.integer(5, 8)), settings, bad_step


def trained(
    part: Callable, ids: Tensor, settings: dict[str, Any], bad_step: int | None
) -> dict[str, Any]:
    """What there is after two of four steps, of which the second may have a loss that is no number."""
    run = started(steps=4, warmup=0.4, learning_rate=0.05, weight_decay=0.0, **settings)
    batches, steps = of_ids(ids, []), []

    def objective(model: GPT, ids: Tensor) -> Tensor:
        loss = next_token(model, ids)
        return loss * math.nan if run.state.step == bad_step else loss

    for _ in range(2):
        try:
            part(run, batches, objective)
        except TrainingError:
            steps.append("stopped by TrainingError")
            break
        steps.append({"rate": run.rate, "loss": run.loss, "norm": run.gradient_norm})
    weights = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    return {"steps": steps, "weights": weights, "steps counted": run.state.step}


UPDATES = """\
    run.gradient_norm = clip_gradients(run.trained, run.config.clip_norm)
    refuse_nan(run)
    for optimizer in run.optimizers:
        optimizer.step()
        optimizer.zero_grad()"""

EXERCISES = (
    Exercise(
        name="accumulate",
        target="groundup.train.loop:accumulate",
        title=N_("Gradient accumulation"),
        text=N_("""\
Large batches give steadier gradients, but the memory may only hold a few windows at a time. As the gradient
of a sum is the sum of the gradients, a step can take its batch in parts (micro-batches), one after another:
`backward()` adds to what the parameters' `.grad` already holds. So that the result is the mean, as if all
had been one batch, each part counts 1/count.

    loss of the step = (loss of part 1 + … + loss of part count) / count

`run` has `model`, `config.grad_accumulation` (count), `state.step` (how many steps are done) and
`state.tokens` (how many tokens were learned from). `batches(n)` is the n-th micro-batch of the whole run:
with count = 3, step 0 takes 0, 1, 2, step 1 takes 3, 4, 5. `objective(model, batch)` gives the loss as a
tensor, or a pair of the loss and some figures; `with_figures` makes a pair of both. `on_device(batch,
device)` makes tensors of the batch's arrays; `count_tokens(batch)` says how many tokens it has.

Afterwards the gradients are in the parameters, `run.loss` is the mean loss (a float), `run.figures` has the
mean of each figure by its name, and `run.state.tokens` has grown by the tokens of all parts.
"""),
        hints=(
            N_("Three parts with the losses 2, 4 and 6: what is the loss of the step? By what must each be "
               "divided before backward(), so that the gradients add up to that of this loss?"),
            N_("Begin with run.loss = 0.0 and run.figures = {}. For each of count parts: get the batch by "
               "its number in the whole run, get loss and figures, backward() of the share, add up the "
               "rest."),
            N_("batches(run.state.step * count + micro); loss, figures = with_figures(objective(run.model, "
               "on_device(batch, run.model.device))); (loss / count).backward(); run.loss += loss.item() / "
               "count."),
        ),
        inputs=micro_batches,
        use=gradients_of_a_step,
        mistakes=(
            Mistake("(loss / count).backward()", "loss.backward()",
                    N_("The gradients are added up but not divided: with twice the parts they are twice as "
                       "long.")),
            Mistake("(loss / count).backward()", "run.model.zero_grad()\n        (loss / count).backward()",
                    N_("Each part throws away the gradients of the parts before it.")),
            Mistake("run.state.step * count + micro", "run.state.step + micro",
                    N_("Batches come again in the next step: step s begins at number s · count.")),
            Mistake("run.loss += loss.item() / count", "run.loss = loss.item()",
                    N_("run.loss is that of the last part; it should be the mean of all.")),
            Mistake("run.loss += loss.item() / count", "run.loss += loss.item()",
                    N_("run.loss is the sum over the parts; it should be their mean.")),
            Mistake("\n        run.state.tokens += count_tokens(batch)",
                    "\n    run.state.tokens += count_tokens(batch)",
                    N_("Only the tokens of the last part are counted.")),
        ),
    ),
    Exercise(
        name="train",
        target="groundup.train.loop:train_step",
        title=N_("The training step"),
        text=N_("""\
All training here is one loop: until the steps are used up, take a step and tell the hooks, which log, save
and evaluate. This is the step. Everything it needs is there; what counts is the order.

1. `rate(run.progress, run.config)` is the share of the peak rate for now: keep it in `run.rate`, and give
   it to all optimisers with `set_rate(optimizers, share)`.
2. `accumulate(run, batches, objective)` gets the batches and leaves their gradients in the parameters.
3. `clip_gradients(run.trained, run.config.clip_norm)` limits them, and returns how long they were: keep
   that in `run.gradient_norm`.
4. `refuse_nan(run)` stops the training if the loss or the gradient is no number: before it gets into the
   weights.
5. Each of `run.optimizers` makes its update: `optimizer.step()`. (There are two when Muon has the matrices
   and AdamW the rest.)
6. The gradients of this step must not be added to those of the next: `optimizer.zero_grad()`.
7. `run.state.step` counts the step.

Nothing is returned: the weights have changed, and `run` tells the hooks what happened.
"""),
        hints=(
            N_("What does step() read, and who must have written it before? What would happen in the next "
               "step if nobody emptied it?"),
            N_("Seven lines in the order of the list: rate, gradients, clipping, check, and for each "
               "optimiser step and zero_grad; the count at the end."),
            N_("for optimizer in run.optimizers: optimizer.step(), then optimizer.zero_grad(). Before "
               "that: run.rate = rate(run.progress, run.config) and set_rate(run.optimizers, run.rate)."),
        ),
        inputs=a_few_steps,
        use=trained,
        mistakes=(
            Mistake("\n        optimizer.zero_grad()", "",
                    N_("The gradients are never set to zero: those of all earlier steps are in every "
                       "update.")),
            Mistake("optimizer.step()\n        optimizer.zero_grad()",
                    "optimizer.zero_grad()\n        optimizer.step()",
                    N_("The gradients are set to zero before the update has used them: nothing is learned.")),
            Mistake(UPDATES, """\
    for optimizer in run.optimizers:
        optimizer.step()
    run.gradient_norm = clip_gradients(run.trained, run.config.clip_norm)
    refuse_nan(run)
    for optimizer in run.optimizers:
        optimizer.zero_grad()""",
                    N_("The gradients are clipped and checked after the update has used them.")),
            Mistake("run.gradient_norm = clip_gradients(run.trained, run.config.clip_norm)",
                    "run.gradient_norm = clip_gradients(run.trained, float('inf'))",
                    N_("The norm is measured, but nothing is clipped: the limit is run.config.clip_norm.")),
            Mistake("    set_rate(run.optimizers, run.rate)\n", "",
                    N_("The schedule never reaches the optimisers, which stay at their peak rate: set_rate.")),
            Mistake("    refuse_nan(run)\n", "",
                    N_("A loss that is no number gets into the weights, and every weight is nan: "
                       "refuse_nan.")),
            Mistake("run.state.step += 1", "pass",
                    N_("The step is not counted: training never ends, and sees the same batch for ever.")),
        ),
    ),
)  # fmt: skip
