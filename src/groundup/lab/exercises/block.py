"""Exercises on the parts of a block."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.lab.exercise import Draw, Exercise, Mistake, Plug
from groundup.lab.exercises.pieces import LAST, dropping_all, shaken
from groundup.language import N_
from groundup.model.config import ModelConfig
from groundup.model.gpt import PreNormBlock
from groundup.model.layers import FeedForward, SwiGLU, gelu
from groundup.model.places import Places
from groundup.model.positions import rotation


def stream(draw: Draw) -> Tensor:
    """What a norm reads: numbers that are neither around 0 nor of variance 1."""
    x = 2 * draw.normal(*draw.in_turn(((2, 3, 8), (5, 4), (1, 6, 2), (3, 2, 16)))) + 1
    if draw.in_turn((False, True)):
        x.flatten(0, -2)[0] = 0.0  # no variance: only epsilon keeps it from dividing by zero
    return x


def layer_norm_inputs(draw: Draw) -> tuple:
    x = stream(draw)
    bias = draw.normal(x.shape[-1]) if draw.in_turn((True, True, False)) else None
    return x, draw.normal(x.shape[-1]), bias, draw.in_turn((0.1, 1e-5, 0.5))


def rms_norm_inputs(draw: Draw) -> tuple:
    x = stream(draw)
    return x, draw.normal(x.shape[-1]), draw.in_turn((0.1, 1e-5, 0.5))


def gelu_inputs(draw: Draw) -> tuple:
    return (3 * draw.normal(*draw.in_turn(((2, 3, 4), (7,), (5, 2), ()))),)


def layer_norm_method(part: Callable) -> Callable:
    def forward(self, x: Tensor) -> Tensor:
        return part(x, self.weight, self.bias, self.epsilon)

    return forward


def rms_norm_method(part: Callable) -> Callable:
    def forward(self, x: Tensor) -> Tensor:
        return part(x, self.weight, self.epsilon)

    return forward


def zero_centered_method(part: Callable) -> Callable:
    def forward(self, x: Tensor) -> Tensor:
        return part(x, 1 + self.weight, self.epsilon)

    return forward


def swiglu_inputs(draw: Draw) -> tuple:
    config = ModelConfig(d_model=6, n_heads=1, bias=draw.in_turn((True, False)))
    bend = draw.in_turn(("silu", "silu", "gelu"))
    return config, 10, bend, draw.normal(2, 3, 6), draw.in_turn(LAST)


def use_swiglu(
    part: type[SwiGLU], config: ModelConfig, d_ff: int, bend: str, x: Tensor, drops: bool
) -> Tensor:
    layer = shaken(part(config, d_ff))
    layer.activation = {"silu": F.silu, "gelu": gelu}[bend]
    return (dropping_all(layer) if drops else layer)(x)


def feed_forward_inputs(draw: Draw) -> tuple:
    config = ModelConfig(
        d_model=6, n_heads=1, d_ff=10, feed_forward=draw.in_turn(("gelu", "relu", "relu2")),
        bias=draw.in_turn((True, False)),
    )  # fmt: skip
    return config, draw.normal(2, 3, 6), draw.in_turn(LAST)


def use_feed_forward(
    part: type[FeedForward], config: ModelConfig, x: Tensor, drops: bool
) -> Tensor:
    layer = shaken(part(config))
    return (dropping_all(layer) if drops else layer)(x)


def block_inputs(draw: Draw) -> tuple:
    config = ModelConfig(
        context_length=8, d_model=12, n_heads=2, n_kv_heads=draw.in_turn((2, 1)), d_ff=10,
        norm=draw.in_turn(("rmsnorm", "layernorm")), bias=draw.in_turn((False, True, True)),
        feed_forward=draw.in_turn(("relu2", "gelu", "swiglu")),
    )  # fmt: skip
    return config, draw.normal(2, 5, 12)


@torch.no_grad()
def use_block(part: type[PreNormBlock], config: ModelConfig, x: Tensor) -> Tensor:
    block = shaken(part(config, 0, rotation(config, "full")))
    return block(x, Places(x[..., 0].long()))


EXERCISES = (
    Exercise(
        name="layer_norm",
        target="groundup.model.layers:layer_norm_step_by_step",
        title=N_("LayerNorm"),
        text=N_("""\
Every block adds to the stream of numbers that runs through the model, so these numbers grow from block to
block. A norm brings what a part reads back to the same size, whatever came before; without norms, a deep
model hardly trains. LayerNorm (Ba et al. 2016) is that of GPT and GPT-2.

Each vector of the last axis is normed by itself: no token and no text looks at another.

    mean      = Σ x / width
    variance  = Σ (x − mean)² / width            divided by width, not by width − 1
    y         = (x − mean) / √(variance + epsilon) · weight + bias

    x, y          (…, width)
    weight, bias  (width), trained

Epsilon stands under the root, and keeps a vector without variance from dividing by zero. Without weight
and bias, x = (1, 3, 5, 7) has the mean 4 and the variance 5, and becomes (−1.342, −0.447, 0.447, 1.342).
"""),
        hints=(
            N_("Which axis is the mean taken over? And how must its shape be, that it can be subtracted "
               "from every number of its vector?"),
            N_("First the distance from the mean. The variance is the mean of its square. Divide the "
               "distance by the root of variance plus epsilon; weight and bias come last."),
            N_("distance = x - x.mean(dim=-1, keepdim=True); distance / "
               "torch.sqrt(distance.square().mean(dim=-1, keepdim=True) + epsilon). F.layer_norm, which "
               "runs in the model, does all of it at once."),
        ),
        inputs=layer_norm_inputs,
        learns=True,
        mistakes=(
            Mistake("distance.square().mean(dim=-1, keepdim=True)", "x.var(dim=-1, keepdim=True)",
                    N_("The variance is divided by width − 1 (Bessel's correction, which torch.var does "
                       "unless told otherwise): a norm divides by width.")),
            Mistake("distance.square()", "x.square()",
                    N_("That is the mean of x², not the variance: subtract the mean before squaring.")),
            Mistake("torch.sqrt(variance + epsilon)", "(torch.sqrt(variance) + epsilon)",
                    N_("Epsilon is added after the root: it stands under it.")),
            Mistake("torch.sqrt(variance + epsilon)", "(variance + epsilon)",
                    N_("The root is missing: divide by the standard deviation, not by the variance.")),
            Mistake("x.mean(dim=-1, keepdim=True)\n    variance = distance.square().mean(dim=-1, keepdim=True)",
                    "x.mean(dim=-2, keepdim=True)\n    variance = distance.square().mean(dim=-2, keepdim=True)",
                    N_("The mean runs over the tokens: each vector is normed by itself, over the last axis.")),
            Mistake("else normed * weight + bias", "else (normed + bias) * weight",
                    N_("The bias is multiplied by the weight: it is added last.")),
        ),
        plugs=(Plug("groundup.model.layers:LayerNorm.forward", layer_norm_method),),
    ),
    Exercise(
        name="rms_norm",
        target="groundup.model.layers:rms_norm_step_by_step",
        title=N_("RMSNorm"),
        text=N_("""\
LayerNorm does two things, shift and scale. It turned out that the scale alone does as well, and is cheaper
(Zhang and Sennrich 2019). Llama, Qwen and Gemma have only this one: divide by the root of the mean square.

    y = x / √(mean(x²) + epsilon) · weight

    x, y    (…, width), the mean over the last axis
    weight  (width), trained

Without the weight, (3, 4) has a mean square of 12.5, and becomes (0.849, 1.131).
"""),
        hints=(
            N_("What is left of LayerNorm, if the mean is taken to be 0?"),
            N_("Square, mean over the last axis, add epsilon, root; then divide, and multiply by the weight."),
            N_("x / torch.sqrt(x.square().mean(dim=-1, keepdim=True) + epsilon), times weight."),
        ),
        inputs=rms_norm_inputs,
        learns=True,
        mistakes=(
            Mistake("return x /", "return (x - x.mean(dim=-1, keepdim=True)) /",
                    N_("The mean is subtracted: that is LayerNorm's half of the work, RMSNorm only scales.")),
            Mistake("x.square().mean(dim=-1, keepdim=True)", "x.var(dim=-1, keepdim=True, correction=0)",
                    N_("That is the variance: RMSNorm divides by the mean of x², from which no mean is "
                       "subtracted.")),
            Mistake("torch.sqrt(mean_square + epsilon)", "(torch.sqrt(mean_square) + epsilon)",
                    N_("Epsilon comes after the root: it belongs under it.")),
            Mistake("torch.sqrt(mean_square + epsilon)", "(mean_square + epsilon)",
                    N_("The R of RMS is missing: divide by the root of the mean square.")),
            Mistake(".mean(dim=-1, keepdim=True)\n    return", ".sum(dim=-1, keepdim=True)\n    return",
                    N_("The squares are added up, and should be averaged: the sum grows with the width.")),
            Mistake("dim=-1", "dim=-2",
                    N_("The mean square is that of other tokens too: take it over the last axis.")),
        ),
        plugs=(
            Plug("groundup.model.layers:RMSNorm.forward", rms_norm_method),
            Plug("groundup.model.layers:ZeroCenteredRMSNorm.forward", zero_centered_method),
        ),
    ),
    Exercise(
        name="gelu",
        target="groundup.model.layers:gelu_step_by_step",
        title=N_("GELU"),
        text=N_("""\
Two matrices, one after the other, can do no more than a single one: their product. Between them stands a
bend, a function of each number by itself. The simplest, max(x, 0), has no slope at all on its left side, so
that nothing is learned there. GELU (Hendrycks and Gimpel 2016) goes the same way smoothly: x times the
probability that a normal random number is below x. GPT and GPT-2 were trained with an approximation of it:

    gelu(x) = x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 · x³)))

    x       −3       −1       0    1        3
    gelu    −0.0036  −0.1588  0    0.8412   2.9964

x may have any shape. What a model was trained with must stay what it runs with: the exact form differs from
this one in the fourth decimal place.
"""),
        hints=(
            N_("What does the formula give for a large x, a very negative one, and 0? Compute these by "
               "head, and then your code."),
            N_("From the inside out: x plus 0.044715 times its cube, times the root of 2/π; tanh; 1 plus "
               "that; times x / 2."),
            N_("0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))"),
        ),
        inputs=gelu_inputs,
        learns=True,
        mistakes=(
            Mistake("torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))", "torch.erf(x / math.sqrt(2))",
                    N_("That is GELU's exact form, with erf: GPT-2 was trained with the tanh form, from "
                       "which it differs a little.")),
            Mistake("math.sqrt(2 / math.pi)", "2 / math.pi",
                    N_("The root is missing: it is √(2/π).")),
            Mistake("x**3", "x**2",
                    N_("The small term is the cube of x, not its square: GELU's gate is the same on both "
                       "sides.")),
            Mistake("0.5 * x * (1 + bent)", "0.5 * (1 + bent)",
                    N_("That is the share that passes, between 0 and 1: it is to be multiplied by x.")),
            Mistake("0.5 * x", "x",
                    N_("The half is missing: 1 + tanh lies between 0 and 2.")),
            Mistake("0.5 * x * (1 + bent)", "x * torch.sigmoid(1.702 * x)",
                    N_("That is the rougher approximation with a sigmoid: this one has tanh.")),
        ),
        plugs=(Plug("groundup.model.layers:gelu"),),
    ),
    Exercise(
        name="swiglu",
        target="groundup.model.layers:SwiGLU.forward",
        title=N_("SwiGLU"),
        text=N_("""\
In attention tokens learn of each other; the feed-forward after it works on each token alone, and holds
about two thirds of a block's weights. That of Llama, Qwen and most others today has two matrices side by
side. One makes the numbers, the other a gate for each of them, and a third leads back to d_model
(Shazeer 2020):

    y = down( silu(gate(x)) · up(x) )         silu(z) = z · sigmoid(z), the product number by number

    x, y              (…, d_model)
    gate(x), up(x)    (…, d_ff)

A number of 3 with a gate of 2 becomes 1.762 · 3 = 5.285; with a gate of −2, −0.238 · 3 = −0.715.

The bend is in self.activation, and is silu here; GeGLU is the same class with GELU in its place, and
inherits this method. Last comes self.dropout, which does something in training only.
"""),
        hints=(
            N_("Which of the two projections is bent, and what does it do to the other?"),
            N_("Bend gate(x), multiply it by up(x) number by number, and put the product through down. "
               "Dropout comes last."),
            N_("self.dropout(self.down(self.activation(self.gate(x)) * self.up(x)))"),
        ),
        inputs=swiglu_inputs,
        use=use_swiglu,
        mistakes=(
            Mistake("self.activation(self.gate(x)) * self.up(x)", "self.activation(self.up(x)) * self.gate(x)",
                    N_("Gate and up are exchanged: the gate is bent. A model that was trained elsewhere "
                       "would not run with it.")),
            Mistake("self.activation(self.gate(x)) * self.up(x)", "self.activation(self.gate(x) * self.up(x))",
                    N_("The product is bent: only the gate is, before the product.")),
            Mistake("self.activation(self.gate(x))", "self.gate(x)",
                    N_("The gate is not bent: put it through self.activation.")),
            Mistake(" * self.up(x)", " + self.up(x)",
                    N_("Gate and up are added: a gate multiplies.")),
            Mistake("self.activation(", "F.silu(",
                    N_("The bend is always silu: use self.activation, which GeGLU sets to GELU.")),
            Mistake("self.dropout(self.down(self.activation(self.gate(x)) * self.up(x)))",
                    "self.down(self.activation(self.gate(x)) * self.up(x))",
                    N_("self.dropout is missing at the end.")),
        ),
    ),
    Exercise(
        name="feed_forward",
        target="groundup.model.layers:FeedForward.forward",
        title=N_("The plain feed-forward"),
        text=N_("""\
The feed-forward of 2017, and of GPT: widen, bend, narrow. Each row of the first matrix asks a question
about the token, the bend decides how strongly the answer is yes, and the second matrix adds what follows
from it (Geva et al. 2021 read these rows as keys of a memory).

    y = down( activation(up(x)) )

    x, y      (batch, time, d_model)
    up(x)     (batch, time, d_ff)             d_ff is usually 4 · d_model

With ReLU for the activation, a token whose up(x) is (1, −2, 3) goes into down as (1, 0, 3). The model's
configuration says which activation it is, and the constructor has put it into self.activation. Last comes
self.dropout.
"""),
        hints=(
            N_("Where does the bend stand, that two matrices can do more than one?"),
            N_("up, self.activation, down, dropout: one within the other."),
            N_("self.dropout(self.down(self.activation(self.up(x))))"),
        ),
        inputs=feed_forward_inputs,
        use=use_feed_forward,
        mistakes=(
            Mistake("self.activation(self.up(x))", "self.up(x)",
                    N_("There is no bend: two matrices in a row are a single matrix.")),
            Mistake("self.down(self.activation(self.up(x)))", "self.activation(self.down(self.up(x)))",
                    N_("The bend comes after both matrices: it belongs between them.")),
            Mistake("return self", "return x + self",
                    N_("x is added: the block does that, around the whole feed-forward.")),
            Mistake("self.activation(", "F.gelu(",
                    N_("The bend is always GELU: use self.activation, which the configuration chooses.")),
            Mistake("self.dropout(self.down(self.activation(self.up(x))))",
                    "self.down(self.activation(self.up(x)))",
                    N_("The dropout at the end is missing.")),
        ),
    ),
    Exercise(
        name="block",
        target="groundup.model.gpt:PreNormBlock.forward",
        title=N_("The block"),
        text=N_("""\
A model is a pile of blocks, each made in the same way: attention, which brings in what other tokens know,
and the feed-forward, which thinks about it. Neither replaces what it reads: each adds to it. So a stream of
numbers runs through the whole model unbroken (residual connections, He et al. 2015), and back through it
the gradient.

In a pre-norm block (GPT-2 and later) a norm stands before each part, and not in the stream itself:

    x = x + attention(norm₁(x))
    x = x + feed_forward(norm₂(x))            it reads what attention has added already

    x, y    (batch, time, d_model)

If the stream is (1, 2), attention gives (0.5, 0) and the feed-forward (0, −1), the block gives (1.5, 1).

The parts are self.attention_norm, self.attention, which is called with (x, places), self.feed_forward_norm
and self.feed_forward. Places know where the tokens stand; they are only passed on.
"""),
        hints=(
            N_("What would come out of a block whose two parts give nothing but zeros?"),
            N_("Twice the same: x plus the part of the norm of x. The second time x is the sum of the first."),
            N_("x = x + self.attention(self.attention_norm(x), places), and for the feed-forward in the "
               "same way."),
        ),
        inputs=block_inputs,
        use=use_block,
        mistakes=(
            Mistake("x = x + self.attention(", "x = self.attention(",
                    N_("What attention reads is not added to what it gives: x = x + …")),
            Mistake("return x + self", "return self",
                    N_("What the feed-forward reads is not added to what it gives: x + …")),
            Mistake("x = x + self.attention(self.attention_norm(x), places)\n"
                    "    return x + self.feed_forward(self.feed_forward_norm(x))",
                    "x = self.attention_norm(x + self.attention(x, places))\n"
                    "    return self.feed_forward_norm(x + self.feed_forward(x))",
                    N_("That is a post-norm block, as in 2017: here a part reads the normed stream, and the "
                       "sum is not normed.")),
            Mistake("self.feed_forward_norm(x)", "self.attention_norm(x)",
                    N_("Both parts read through the same norm: the feed-forward has its own.")),
            Mistake("x = x + self.attention(self.attention_norm(x), places)\n    return x +",
                    "attended = self.attention(self.attention_norm(x), places)\n    return x + attended +",
                    N_("Both parts read the same x: the feed-forward reads what attention has added already.")),
            Mistake("x = x + self.attention(self.attention_norm(x), places)",
                    "x = self.attention_norm(x)\n    x = x + self.attention(x, places)",
                    N_("The normed x is added: the sum goes on with x as it came in.")),
        ),
    ),
)  # fmt: skip
