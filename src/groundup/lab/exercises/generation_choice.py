"""Exercises on how the next token is chosen."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from groundup.generation.sampling import SamplingConfig, generator
from groundup.lab.exercise import Draw, Exercise, Mistake
from groundup.language import N_

CPU = torch.device("cpu")
SETTINGS: tuple[dict[str, Any], ...] = (
    {"temperature": 0.0},
    {"temperature": 0.0, "repetition_penalty": 4.0},
    {"temperature": 1e-7},
    {"temperature": 0.5},
    {"temperature": 2.0, "repetition_penalty": 3.0},
    {"temperature": 2.0, "top_k": 3},
    {"temperature": 2.5, "top_p": 0.6},
    {"temperature": 2.0, "min_p": 0.3},
    {"temperature": 1.5, "top_k": 4, "top_p": 0.7},
)
SAMPLINGS = {str(settings): SamplingConfig(**settings) for settings in SETTINGS}


def logits_and_past(draw: Draw) -> tuple:
    rows, vocab = draw.integer(20, 24), draw.integer(8, 11)
    logits = 2 * draw.normal(rows, vocab)
    return logits, draw.integers(vocab, rows, draw.integer(2, 5)), draw.integer(0, 1000)


def with_each_setting(part: Callable, logits: Tensor, past: Tensor, seed: int) -> dict[str, Tensor]:
    chosen = {}
    for settings, sampling in SAMPLINGS.items():
        generators = [generator(seed + row, CPU) for row in range(len(logits))]
        chosen[settings] = part(logits, past, sampling, generators)
    return chosen


def logits_and_k(draw: Draw) -> tuple:
    rows, vocab = draw.integer(2, 4), draw.integer(7, 10)
    return 2 * draw.normal(rows, vocab), draw.in_turn([3, 1, 2, 20, 5])


def logits_and_p(draw: Draw) -> tuple:
    rows, vocab = draw.integer(2, 4), draw.integer(7, 10)
    return 2 * draw.normal(rows, vocab), draw.in_turn([0.7, 0.01, 0.9, 0.5, 0.8])


def two_distributions(draw: Draw) -> tuple:
    weights = draw.normal(2, draw.integer(4, 6)).exp()
    weights[0, 1] = 0
    return weights / weights.sum(-1, keepdim=True), draw.integer(0, 1000)


TIMES = 400
SIGMAS = 5


def drawn(part: Callable, distributions: Tensor, seed: int) -> dict[str, Any]:
    """What is true of any way to draw, however it uses the generators: rows of the two distributions in
    turn, each row with a generator of its own."""
    probabilities = distributions.repeat(TIMES, 1)
    rows = range(len(probabilities))
    tokens = part(probabilities, [generator(seed + row, CPU) for row in rows])
    if not torch.is_tensor(tokens) or tokens.shape != (len(rows),) or tokens.is_floating_point():
        return {"token ids": tokens}
    few = range(3, 9)
    once, again = (
        part(probabilities[3:9], [generator(seed + row, CPU) for row in few]) for _ in range(2)
    )
    alone = [part(probabilities[i : i + 1], [generator(seed + i, CPU)]) for i in few]
    kinds = [torch.bincount(tokens[i::2], minlength=distributions.shape[1]) for i in range(2)]
    return {
        "how often each token came": [
            [how_often(int(n), p) for n, p in zip(counts.tolist(), row.tolist(), strict=True)]
            for counts, row in zip(kinds, distributions, strict=True)
        ],
        "the same tokens with the same generators": torch.equal(once, again),
        "the same token in a row alone as among others": torch.equal(torch.cat(alone), once),
    }


def how_often(count: int, probability: float) -> str:
    """Beside what chance allows in so many draws."""
    expected = TIMES * probability
    most = SIGMAS * (expected * (1 - probability)) ** 0.5
    if abs(count - expected) <= most:
        return "as its probability says"
    return "too often" if count > expected else "too seldom"


PENALTY = """\
if sampling.repetition_penalty != 1:
        logits = penalize_repetition(logits, past, sampling.repetition_penalty)
    """
GREEDY = """\
if sampling.temperature < COLDEST:
        return logits.argmax(dim=-1)
    """
DIVIDED = """\
logits = logits / sampling.temperature
    """
TOP_K = """\
if sampling.top_k is not None:
        logits = keep_top_k(logits, sampling.top_k)
    """
TOP_P = """\
if sampling.top_p is not None and sampling.top_p < 1:
        logits = keep_top_p(logits, sampling.top_p)
    """

EXERCISES = (
    Exercise(
        name="choose",
        target="groundup.generation.sampling:choose",
        title=N_("From logits to a token: temperature and its company"),
        text=N_("""\
The model gives a logit to every token; one of them must be the next. Always the likeliest (greedy) makes
dull texts that go in circles; drawing by all the probabilities now and then takes one of thousands of
unlikely tokens. In between lie a few settings, each a function by itself. Here they are put in order:

1. If `repetition_penalty` is not 1: penalize_repetition(logits, past, penalty) lowers the tokens used
   before.
2. If `temperature` is below COLDEST (0 means greedy, and nothing is divided by 0): take the largest logit
   of each row, done.
3. Divide the logits by the temperature. Below 1 makes differences larger (surer), above 1 smaller.
4. If there is a `top_k`: keep_top_k(logits, k).
5. If there is a `top_p` below 1: keep_top_p(logits, p).
6. If there is a `min_p`: keep_min_p(logits, p).
7. draw(probabilities, generators), with the softmax of what is left.

logits: (batch, vocab); past: (batch, time), the token ids before; `sampling` has the settings, None where
one is not in use; one generator for each row; the result: (batch), token ids. With the logits 2 and 1 the
first token has 73 % at temperature 1, 88 % at 0.5 and 62 % at 2.
"""),
        hints=(
            N_("Which of the settings change anything when the likeliest token is taken anyway?"),
            N_("Seven steps in the order of the list, each an `if` that replaces the logits by what its "
               "function gives. The softmax comes once, at the end: all functions take logits and give "
               "logits."),
            N_("if sampling.temperature < COLDEST: return logits.argmax(dim=-1); logits = logits / "
               "sampling.temperature; …; return draw(logits.softmax(-1), generators)."),
        ),
        inputs=logits_and_past,
        use=with_each_setting,
        mistakes=(
            Mistake("logits / sampling.temperature", "logits * sampling.temperature",
                    N_("The logits are multiplied by the temperature, which turns its meaning around: "
                       "divide.")),
            Mistake(GREEDY, "",
                    N_("Temperature 0 is not taken care of: the division gives infinities; take the argmax.")),
            Mistake(PENALTY + GREEDY, GREEDY + PENALTY,
                    N_("A greedy choice forgets the penalty for repetition, which comes before it.")),
            Mistake(DIVIDED + TOP_K + TOP_P, TOP_K + TOP_P + DIVIDED,
                    N_("The temperature comes after top-p: the share p must be one of the changed "
                       "probabilities.")),
            Mistake(TOP_K + TOP_P, TOP_P + TOP_K,
                    N_("top-p comes before top-k: its share should be one of what top-k left, made to add "
                       "up to 1 again.")),
            Mistake("draw(logits.softmax(-1), generators)", "draw(logits, generators)",
                    N_("Tokens are drawn by the logits, which are no probabilities: softmax first.")),
        ),
    ),
    Exercise(
        name="top_k",
        target="groundup.generation.sampling:keep_top_k",
        title=N_("Top-k: only the likeliest few"),
        text=N_("""\
A vocabulary has tens of thousands of tokens. Each of the unlikely ones has next to no probability, but
together they have a few percent, and one of them in every few sentences is enough to derail a text. Top-k
(Fan et al. 2018) leaves only the k likeliest in the running.

What is ruled out gets the logit −∞, which the softmax turns into probability 0, while the others add up to
1 again by themselves. That is why logits are changed and not probabilities.

logits: (batch, vocab), k at least 1, and k may be larger than the vocabulary. The result: (batch, vocab),
new. With k = 2, the logits 3, 1, 2 become 3, −∞, 2.
"""),
        hints=(
            N_("What must a logit be at least, in its row, to be among the k largest?"),
            N_("Find the k largest of each row; the smallest of them is the limit. All that is below its "
               "row's limit becomes −∞. Mind a k larger than the vocabulary."),
            N_("logits.topk(min(k, logits.shape[-1])).values[:, -1:], and logits.masked_fill(mask, "
               "-math.inf)."),
        ),
        inputs=logits_and_k,
        mistakes=(
            Mistake("return logits.masked_fill(logits < smallest_kept, -math.inf)",
                    "return logits.softmax(-1).masked_fill(logits < smallest_kept, 0)",
                    N_("Probabilities are cut after the softmax, and no longer add up to 1: rule out "
                       "logits.")),
            Mistake("-math.inf)", "0)",
                    N_("What is ruled out gets the logit 0, which is probability enough to be drawn: −∞.")),
            Mistake("logits < smallest_kept", "logits <= smallest_kept",
                    N_("One too few: the k-th largest belongs to those that are kept.")),
            Mistake("min(k, logits.shape[-1])", "k",
                    N_("A k larger than the vocabulary must keep everything, not fail.")),
            Mistake("min(k, logits.shape[-1]))", "min(k, logits.shape[-1]), largest=False)",
                    N_("topk looked for the smallest logits: it takes the largest unless told otherwise.")),
            Mistake(".values[:, -1:]", ".values[:, -1].min()",
                    N_("All rows share one limit: each row has its own.")),
        ),
    ),
    Exercise(
        name="top_p",
        target="groundup.generation.sampling:keep_top_p",
        title=N_("Top-p: the likeliest part of the probability"),
        text=N_("""\
After "the capital of France is" hardly more than one token makes sense, after "I would like" hundreds do. A
fixed k is too large for the one and too small for the other. Top-p (nucleus sampling, Holtzman et al. 2020)
keeps as many of the likeliest tokens as it takes to have the probability p together.

Go through the tokens from the likeliest down and add up their probabilities. A token is kept if the sum
before it is still below p; so the one that crosses p is kept as well, and the likeliest always is.

    probabilities, in order    0.5    0.3    0.15   0.05
    sum before each            0      0.5    0.8    0.95
    kept with p = 0.7          yes    yes    no     no

logits: (batch, vocab); the result: the same with −∞ for what is ruled out, each token still in its own
place. The reference sorts only the likeliest thousand where these reach p: that is for speed, and not
needed here.
"""),
        hints=(
            N_("Sorting mixes up the places. How do you find out afterwards which token of the vocabulary "
               "each sorted probability belongs to?"),
            N_("Softmax; sort downwards, keeping the order; running sum less the probability itself is the "
               "sum before; compare with p; bring the answers back to the tokens' places; fill with −∞."),
            N_("ordered, order = probabilities.sort(descending=True); ordered.cumsum(-1) - ordered < p; "
               "torch.ones_like(logits, dtype=torch.bool).scatter(1, order, ~kept)."),
        ),
        inputs=logits_and_p,
        mistakes=(
            Mistake("ordered.cumsum(-1) - ordered < p", "ordered.cumsum(-1) < p",
                    N_("The token that crosses p is left out, and with it all where the first is above p "
                       "already: compare the sum before each token.")),
            Mistake("ruled_out = torch.ones_like(logits, dtype=torch.bool).scatter(1, order, ~kept)",
                    "ruled_out = ~kept",
                    N_("The answers are in sorted order, the logits in that of the vocabulary: bring them "
                       "back.")),
            Mistake("probabilities = logits.softmax(-1)", "probabilities = logits.exp()",
                    N_("These are no probabilities: they do not add up to 1. Take the softmax.")),
            Mistake("scatter(1, order, ~kept)", "scatter(1, order, kept)",
                    N_("The likely ones are ruled out, and the tail is kept.")),
            Mistake("ordered, order = probabilities.topk(min(FEW, logits.shape[-1]))",
                    "ordered, order = probabilities.sort()",
                    N_("The sum goes up from the unlikeliest: sort downwards.")),
            Mistake("return logits.masked_fill(ruled_out, -math.inf)",
                    "return logits.softmax(-1).masked_fill(ruled_out, 0)",
                    N_("Returned are probabilities, which no longer add up to 1; return logits, with −∞ "
                       "for what is ruled out.")),
        ),
    ),
    Exercise(
        name="draw",
        target="groundup.generation.sampling:draw",
        title=N_("Drawing a token"),
        text=N_("""\
Each row is a text with probabilities for its next token; draw one for each, as often as its probability
says. Many users' texts run side by side, and each must come out the same for the same seed, whoever its
neighbours are. So each row has a random generator of its own, and draws from no other.

Any right way will do; these are three:

1. torch.multinomial(probabilities, 1, generator=...), for one row at a time;
2. a random number u between 0 and 1 (torch.rand with generator=...), and the first token at which the
   running sum of the probabilities is above u;
3. a race, as the reference does it: token i arrives after a waiting time e / p_i, where e is exponential
   (Tensor.exponential_), and the first to arrive is i with the probability p_i.

probabilities: (batch, vocab); generators: as many as rows; the result: (batch), whole numbers. A token of
probability 0 is never drawn. The check draws often and counts; it does not ask for any particular tokens.
"""),
        hints=(
            N_("Where do random numbers come from in torch if nobody names a generator? What would that "
               "mean for the seed of a text?"),
            N_("Go through rows and generators together (zip), draw one token with the row's generator, "
               "and put the tokens into one tensor."),
            N_("torch.cat([torch.multinomial(row, 1, generator=generator) for row, generator in "
               "zip(probabilities, generators)])."),
        ),
        inputs=two_distributions,
        use=drawn,
        mistakes=(
            Mistake("(probabilities / torch.stack(waits)).argmax(dim=-1)", "probabilities.argmax(dim=-1)",
                    N_("Always the likeliest token: nothing is drawn.")),
            Mistake("exponential_(generator=generator)", "exponential_()",
                    N_("The generators are not used: the same seed gives another text each time.")),
            Mistake("exponential_(generator=generator)", "exponential_(generator=generators[0])",
                    N_("All rows draw from the first generator: what a text says depends on its neighbours.")),
            Mistake("probabilities / torch.stack(waits)", "(probabilities > 0) / torch.stack(waits)",
                    N_("All tokens are drawn equally often, whatever their probabilities.")),
            Mistake("argmax(dim=-1)", "argmax(dim=0)",
                    N_("The choice is made among rows; it must be made among the tokens of each row.")),
        ),
    ),
)  # fmt: skip
