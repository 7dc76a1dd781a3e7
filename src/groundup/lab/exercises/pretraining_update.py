"""Exercises on how the weights are moved: the optimiser, its rate, and the limit of a step."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from groundup.lab.exercise import Draw, Exercise, Mistake, Plug
from groundup.language import N_
from groundup.train.config import TrainConfig


def parameter_and_state(draw: Draw) -> tuple:
    shape = draw.integer(2, 3), draw.integer(4, 6)
    step = draw.in_turn([1, 2, 1, 10])
    mean, square = draw.normal(*shape), 2 * draw.normal(*shape).square()
    before = 0.0 if step == 1 else 1.0
    return (
        draw.normal(*shape), draw.normal(*shape), before * mean, before * square, step, 0.1,
        (draw.choice([0.8, 0.9]), 0.95), draw.in_turn([0.0, 0.1, 0.5]), draw.in_turn([1e-8, 0.01]),
    )  # fmt: skip


class WrittenAdamW(torch.optim.Optimizer):
    """Moves each parameter by a learner's update."""

    def __init__(self, update: Callable, groups: Iterable[dict[str, Any]], config: TrainConfig):
        super().__init__(groups, {"lr": config.learning_rate})
        self.update, self.betas = update, (config.beta1, config.beta2)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["mean"], state["square"] = (torch.zeros_like(parameter) for _ in range(2))
                state["step"] = state.get("step", 0) + 1
                self.update(
                    parameter, parameter.grad, state["mean"], state["square"], state["step"],
                    group["lr"], self.betas, group["weight_decay"],
                )  # fmt: skip


def as_optimizer(part: Callable) -> Callable:
    def _adamw(groups: list[dict[str, Any]], config: TrainConfig) -> torch.optim.Optimizer:
        return WrittenAdamW(part, groups, config)

    return _adamw


SCHEDULES = ("cosine", "wsd", "inverse-sqrt")


def a_whole_training(draw: Draw) -> tuple:
    settings = {
        "warmup": draw.in_turn([0.15, 0.0, 0.3]),
        "decay": draw.in_turn([0.5, 0.35]),
        "final_rate": draw.in_turn([0.0, 0.1, 0.2, 0.1]),
    }
    inside = [draw.integer(1, 99) / 100 for _ in range(12)]
    return [0.0, *sorted(inside), 1.0], settings


def rates(part: Callable, progress: list[float], settings: dict[str, float]) -> dict[str, float]:
    """The share under each schedule; one over the root needs a warm-up."""
    schedules = SCHEDULES if settings["warmup"] else SCHEDULES[:2]
    configs = [TrainConfig.parse({"schedule": name, **settings}) for name in schedules]
    return {
        f"{config.schedule}, progress {p}": part(p, config) for config in configs for p in progress
    }


def gradients_and_limit(draw: Draw) -> tuple:
    shapes = [(draw.integer(2, 3),), (draw.integer(2, 3), draw.integer(4, 5)), (1, 2, 6)]
    size = draw.in_turn([1.0, 1.0, 1.0, 0.0])
    gradients = [size * draw.normal(*shape) for shape in shapes]
    return gradients, draw.in_turn([1.5, 100.0, 0.5])


def of_parameters(part: Callable) -> Callable:
    def clip_gradients(parameters: Iterable[nn.Parameter], longest: float) -> float:
        gradients: list[Tensor] = [p.grad for p in parameters if p.grad is not None]
        return float(part(gradients, longest))

    return clip_gradients


SCALING = """\
if norm > longest:
        for gradient in gradients:
            gradient.mul_(longest / norm)"""

EXERCISES = (
    Exercise(
        name="adamw",
        target="groundup.train.optimizers:adamw_step_by_step",
        title=N_("AdamW: one update of a parameter"),
        text=N_("""\
Plain gradient descent moves each weight by rate · gradient. But gradients are noisy, and those of some
weights are a thousand times those of others. Adam keeps two running means for each weight: of the gradient,
so that noise cancels, and of its square, by whose root it divides, so that all weights move about equally
far. The W stands for weight decay that is kept out of these means: each step shrinks the weight a little
(AdamW, Loshchilov and Hutter 2019).

    mean ← β₁ · mean + (1 − β₁) · gradient          m = mean / (1 − β₁ᵗ)
    square ← β₂ · square + (1 − β₂) · gradient²     s = square / (1 − β₂ᵗ)
    parameter ← (1 − rate · decay) · parameter − rate · m / (√s + ε)

t is `step`, 1 for the first update. Both means begin at 0; after one update with β₁ = 0.9 the mean is only
a tenth of the gradient, and dividing by 1 − 0.9 = 0.1 puts that right.

All tensors have the shape of the parameter. Change `parameter`, `mean` and `square` in place (mul_, add_,
copy_ and the like): whoever called finds the changes there. The gradient stays as it is; nothing is
returned. With parameter 1, gradient 4, step 1, rate 0.1 and decay 0: m = 4, √s = 4, and the parameter
becomes 0.9.
"""),
        hints=(
            N_("After the very first update, how far has a weight moved, whatever the size of its "
               "gradient? Follow the formulas with numbers for t = 1."),
            N_("Five steps: both running means in place, both corrected as new tensors, the decay of the "
               "parameter, its move. Nothing of the decay goes into the gradient."),
            N_("mean.lerp_(gradient, 1 - beta1), the same for the square; parameter.mul_(1 - learning_rate "
               "* weight_decay); parameter.sub_(learning_rate * m / (s.sqrt() + epsilon))."),
        ),
        inputs=parameter_and_state,
        edits=True,
        mistakes=(
            Mistake("mean / (1 - beta1**step)\n    corrected_square = square / (1 - beta2**step)",
                    "mean\n    corrected_square = square",
                    N_("The running means are not corrected: they began at 0, and are too small in the "
                       "first steps.")),
            Mistake("beta1, beta2 = betas",
                    "beta1, beta2 = betas\n"
                    "    gradient, weight_decay = gradient + weight_decay * parameter, 0.0",
                    N_("The decay is added to the gradient (L2, as in Adam), and divided by √s with it; in "
                       "AdamW it shrinks the parameter directly.")),
            Mistake("(corrected_square.sqrt() + epsilon)", "(corrected_square + epsilon).sqrt()",
                    N_("ε is added under the root; it belongs outside: √s + ε.")),
            Mistake("1 - learning_rate * weight_decay", "1 - weight_decay",
                    N_("The decay is not multiplied by the learning rate, so the parameter shrinks far too "
                       "fast.")),
            Mistake("corrected_square.sqrt()", "corrected_square",
                    N_("The root is missing: the step must not depend on the size of the gradient.")),
            Mistake("mean.lerp_(gradient, 1 - beta1)", "mean.lerp_(gradient, beta1)",
                    N_("β₁ is the share of the old mean, 1 − β₁ that of the new gradient.")),
            Mistake("mean.lerp_(gradient, 1 - beta1)", "mean = mean.lerp(gradient, 1 - beta1)",
                    N_("The running mean is a new tensor, and forgotten after the step: change `mean` in "
                       "place.")),
        ),
        plugs=(Plug("groundup.train.optimizers:_adamw", as_optimizer),),
    ),
    Exercise(
        name="learning_rate",
        target="groundup.train.schedules:rate",
        title=N_("The learning rate over the training"),
        text=N_("""\
At the start the running means of the optimiser know nothing yet, and large steps do damage: the rate rises
from 0 (warm-up). At the end large steps jump around the minimum: the rate falls. This function gives the
share of the peak rate for a progress between 0 (start) and 1 (end).

    progress < warmup:    progress / warmup
    from there on:        final_rate + (1 − final_rate) · height

The height is 1 where the warm-up ends, and then, by `config.schedule`:

    "cosine"              (1 + cos(π · f)) / 2, where f goes from 0 (warm-up done) to 1 (training done)
    "inverse-sqrt"        √(warmup / progress)
    "wsd"                 1, and in the last `decay` of the training a line down to 0 (with decay = 0: 1)

`config` has warmup, decay and final_rate, all as shares of 1. With warmup = 0.2 and final_rate = 0 the
cosine gives 0.5 at progress 0.1, 1 at 0.2, 0.5 at 0.6 and 0 at 1. wsd with decay = 0.5 gives 1 up to 0.5,
and 0.5 at 0.75. A warm-up of 0 must not divide by 0, and progress may go a little beyond 1.
"""),
        hints=(
            N_("First the warm-up alone: what does it return, and when? What does each schedule give at "
               "progress = warmup, and at progress = 1?"),
            N_("For the cosine, turn progress into f, which is 0 at the end of the warm-up and 1 at the "
               "end of training. For wsd, divide what is left of the training by decay, but never go above "
               "1. Apply final_rate once, to the height."),
            N_("f = (progress - warmup) / (1 - warmup); 0.5 * (1 + math.cos(math.pi * f)); "
               "math.sqrt(warmup / progress); min(1.0, (1 - progress) / decay)."),
        ),
        inputs=a_whole_training,
        use=rates,
        mistakes=(
            Mistake("fall = (progress - config.warmup) / (1 - config.warmup)", "fall = progress",
                    N_("The cosine falls from the start of training: it must begin where the warm-up ends.")),
            Mistake("0.5 * (1 + math.cos(math.pi * min(fall, 1.0)))", "math.cos(math.pi / 2 * min(fall, 1.0))",
                    N_("This is a quarter of a cosine wave, steepest at its end; half a wave, (1 + cos(π · "
                       "f)) / 2, ends flat.")),
            Mistake("config.final_rate + (1 - config.final_rate) * height", "height",
                    N_("final_rate is left out: the rate ends at 0.")),
            Mistake("config.final_rate + (1 - config.final_rate) * height", "config.final_rate + height",
                    N_("final_rate is added to the whole height, so the rate is above its peak.")),
            Mistake("config.final_rate + (1 - config.final_rate) * height", "max(config.final_rate, height)",
                    N_("The rate is cut off at final_rate; the whole curve should be squeezed to end there.")),
            Mistake("return progress / config.warmup", "return progress",
                    N_("The warm-up must reach 1 at its end: divide progress by warmup.")),
            Mistake("min(1.0, left / config.decay) if config.decay else 1.0", "left / (1 - config.warmup)",
                    N_("wsd falls from the warm-up on; it should stay at 1 until the last `decay` of the "
                       "training.")),
        ),
    ),
    Exercise(
        name="clip_gradients",
        target="groundup.train.optimizers:clip_gradients_step_by_step",
        title=N_("Clipping gradients"),
        text=N_("""\
Now and then a batch has a gradient a hundred times longer than usual, and one such step can undo a thousand
good ones. So the length of a step's gradient is limited: what is longer is scaled down to the limit. The
direction must not change, so the gradients of all parameters count as one long vector, and all are
multiplied by the same number.

    norm = √(sum of the squares of all numbers in all gradients)
    if norm > longest:   gradient ← gradient · (longest / norm), for each

`gradients` is a list of tensors of any shapes; change them in place. Returned is the norm before the
clipping, as a number: it shows how training goes. With the gradients [3] and [[0, 4]] and longest = 1 the
norm is 5, and they become [0.6] and [[0, 0.8]].
"""),
        hints=(
            N_("If each tensor had its own norm and its own factor, what would become of the direction of "
               "the whole?"),
            N_("First one number over all tensors: squares, added up, the root at the end. Then, only if "
               "it is above the limit, multiply each tensor in place by the same factor."),
            N_("math.sqrt(sum(g.square().sum().item() for g in gradients)), and g.mul_(longest / norm)."),
        ),
        inputs=gradients_and_limit,
        edits=True,
        mistakes=(
            Mistake(SCALING,
                    "for gradient in gradients:\n"
                    "        gradient.mul_(min(1.0, longest / max(gradient.norm().item(), 1e-9)))",
                    N_("Each gradient is clipped by its own norm, which turns the direction: one norm over "
                       "all.")),
            Mistake(SCALING,
                    "for gradient in gradients:\n        gradient.clamp_(-longest, longest)",
                    N_("Each number is cut off by itself; the whole is to be scaled, so that its direction "
                       "stays.")),
            Mistake("math.sqrt(sum(gradient.square().sum().item() for gradient in gradients))",
                    "sum(gradient.norm().item() for gradient in gradients)",
                    N_("Norms of parts do not add up: add the squares, and take the root of the sum.")),
            Mistake("math.sqrt(sum(gradient.square().sum().item() for gradient in gradients))",
                    "sum(gradient.square().sum().item() for gradient in gradients)",
                    N_("The root of the sum of squares is missing.")),
            Mistake("if norm > longest:", "if norm > 0:",
                    N_("Short gradients are made longer: only what is above the limit is scaled.")),
            Mistake("gradient.mul_(longest / norm)", "gradient = gradient * (longest / norm)",
                    N_("The scaled gradient is a new tensor, which nobody sees: change it in place.")),
            Mistake("return norm", "return min(norm, longest)",
                    N_("Returned is the norm after the clipping; it should be the one before.")),
        ),
        plugs=(Plug("groundup.train.optimizers:clip_gradients", of_parameters),),
    ),
)  # fmt: skip
