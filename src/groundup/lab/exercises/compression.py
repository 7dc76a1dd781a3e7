"""Exercises on compression."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from groundup.compress import distill
from groundup.compress.config import DistillConfig
from groundup.compress.distill import Teaching
from groundup.lab.exercise import Draw, Exercise, Mistake, Plug, as_it_is, with_gradient
from groundup.language import N_
from groundup.model.gpt import Head
from groundup.model.linear import linear
from groundup.model.loss import softcap


def matrix(draw: Draw) -> tuple:
    """A matrix with an outlier, a group of zeros and a group without negative numbers."""
    group, groups = draw.integer(6, 8), draw.integer(2, 3)
    weight = draw.normal(draw.integer(4, 5), groups * group)
    weight[0, :group] = 0
    weight[1, :group] = weight[1, :group].abs() + 0.5
    weight[2, 1] = -9.0
    return weight, draw.choice([8, 4, 8]), group


def codes(draw: Draw) -> tuple:
    """Rows of an even and of an odd number of codes."""
    return (draw.integers(16, draw.integer(2, 3), draw.integer(4, 9)).to(torch.uint8),)


def scores(draw: Draw) -> tuple:
    """Scores, among which some are equal, and how many are to be found."""
    groups, size = draw.integer(3, 4), draw.integer(7, 9)
    found = draw.integers(4, groups, size).float()
    found[0] = draw.normal(size).abs()
    return found, draw.choice([2, 3, 0, 4])


def how_many_and_which(part: Callable, scores: Tensor, count: int) -> list[Tensor]:
    """Of equal scores any may be chosen: what counts is how many are found, and their sizes."""
    found = part(scores, count)
    sizes = torch.where(found, scores, torch.inf).sort(dim=1).values
    return [found.sum(dim=1), sizes]


def logits_of_both(draw: Draw) -> tuple:
    positions, vocab = draw.integer(3, 4), draw.integer(6, 9)
    student, teacher = 2 * draw.normal(positions, vocab), 2 * draw.normal(positions, vocab)
    temperature, share = draw.choice([0.5, 2.0, 4.0]), draw.choice([0.3, 0.8, 1.0])
    return student, teacher, draw.integers(vocab, positions), temperature, share


def as_loss(part: Callable) -> Callable:
    """In place of the loss that never holds all logits, where the teacher is asked now."""
    in_chunks = as_it_is(distill.distillation_loss)

    def distillation_loss(
        hidden: Tensor, head: Head, teacher: Teaching, targets: Tensor, config: DistillConfig
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        if not isinstance(teacher, distill.Asked) or config.divergence != "forward":
            return in_chunks(hidden, head, teacher, targets, config)
        student, known = (
            softcap(linear(states, one.weight), one.softcap)
            for states, one in ((hidden, head), (teacher.hidden, teacher.head))
        )
        both = min(student.shape[1], known.shape[1])
        logits = student[:, :both], known[:, :both], targets, config.temperature
        with torch.no_grad():
            figures = {"label_loss": part(*logits, 0.0), "teacher_divergence": part(*logits, 1.0)}
        return part(*logits, config.teacher_share), figures

    return distillation_loss


EXERCISES = (
    Exercise(
        name="quantize",
        target="groundup.model.quantized:quantize_step_by_step",
        title=N_("Quantisation: numbers in 8 and 4 bits"),
        text=N_("""\
A number of 32 bits takes four bytes. In 8 bits it takes one, in 4 bits half of one: the model is a
quarter or an eighth as large, and as memory is read faster then, it speaks faster. The price: only 255 or
16 different numbers are left. A number w is stored as a small whole number, its code; what comes back is
near to w:

    code = round(w / scale + zero)        w ≈ (code − zero) · scale

Each group of neighbours in a row has a scale (and zero) of its own, so that one outlier spoils only its
group.

8 bits: scale = max |w| / 127, zero = 0. The number that is largest by size becomes 127 or −127.
        Example: 1.27 and −0.504. scale 0.01, codes 127 and −50, and back come 1.27 and −0.50.
4 bits: the codes 0 to 15 have 15 steps between them, from low to high: scale = (high − low) / 15, with
        low at most 0 and high at least 0, so that 0 itself has a code: zero = round(−low / scale).
        The scale is stored in bfloat16: .bfloat16().float() rounds it.
        Example: 0, −1, 14, 6.3. low −1, high 14, scale 1, zero 1; codes 1, 0, 15, 7; back: 0, −1, 14, 6.

Codes stay in their range: −127 to 127, and 0 to 15. A group of zeros comes back as zeros, although its
scale is 0.
In: a matrix, out × in, the bits (8 or 4), and the size of a group. Out: the matrix that comes back.
"""),
        hints=(
            N_("What do the numbers of a group have in common, and how does a tensor out × in become one with "
               "an axis for the groups?"),
            N_("weight.unflatten(1, (-1, group)) is out × groups × group. Along the last axis (keepdim=True) "
               "find low and high, from them scale and zero; then codes: divide, add, round, clamp; then "
               "back."),
            N_("low = groups.amin(-1, keepdim=True).clamp(max=0), high likewise with amax and min=0; codes = "
               "(groups / scales + zeros).round().clamp(lowest, highest); the result is ((codes - zeros) * "
               "scales).nan_to_num().flatten(1)"),
        ),
        inputs=matrix,
        mistakes=(
            Mistake("(high - low) / 15", "(high - low) / 16",
                    N_("Sixteen codes have fifteen steps between them: from low to high it is 15 scales.")),
            Mistake("torch.maximum(-low, high) / 127", "high / 127",
                    N_("In 8 bits the largest number by size sets the scale, and that may be a negative one.")),
            Mistake("low = groups.amin(-1, keepdim=True).clamp(max=0)\n"
                    "    high = groups.amax(-1, keepdim=True).clamp(min=0)",
                    "low = groups.amin().clamp(max=0)\n    high = groups.amax().clamp(min=0)",
                    N_("One scale for the whole matrix: a single outlier makes all numbers coarse. Each group "
                       "has its own.")),
            Mistake("low = groups.amin(-1, keepdim=True).clamp(max=0)\n"
                    "    high = groups.amax(-1, keepdim=True).clamp(min=0)",
                    "low = groups.amin((1, 2), keepdim=True).clamp(max=0)\n"
                    "    high = groups.amax((1, 2), keepdim=True).clamp(min=0)",
                    N_("One scale for each row: `group` neighbours share one, and a row has several groups.")),
            Mistake("(-low / scales).round()", "-low / scales",
                    N_("In 4 bits zero is a code too, a whole number: 0 itself would not come back as 0.")),
            Mistake("(codes - zeros) * scales", "codes * scales",
                    N_("On the way back zero is not taken off: the number is (code − zero) · scale.")),
            Mistake(".round().clamp(lowest, highest)", ".trunc().clamp(lowest, highest)",
                    N_("The fraction is cut off: the nearest whole number is half as far away on average.")),
            Mistake(".nan_to_num()", "",
                    N_("A group of zeros has the scale 0, and 0 / 0 is nan: it should come back as zeros.")),
        ),
    ),
    Exercise(
        name="pack",
        target="groundup.model.quantized:pack",
        title=N_("Two codes in a byte"),
        text=N_("""\
The least that a computer stores is a byte: 8 bits, a number from 0 to 255. A code of 4 bits, from 0 to
15, in a byte of its own would waste half of it. So two neighbours of a row share one: the first in the
lower four bits, the second in the upper four.

    codes   5 = 0101    1 = 0001
    byte    0001 0101 = 5 + 16 · 1 = 21

Where a row has an odd number of codes, the last one gets a 0 beside it: 5 1 7 becomes 21 7.
In: codes, out × in, in torch.uint8. Out: bytes, out × (in / 2, rounded up), in torch.uint8.
"""),
        hints=(
            N_("By which number is a code multiplied when its bits move up by four places?"),
            N_("Make the rows even with a 0 at their end, take the codes at even places and those at odd ones, "
               "and put each pair together."),
            N_("F.pad(codes, (0, codes.shape[1] % 2)), then first | second << 4 with first = even[:, 0::2] and "
               "second = even[:, 1::2]"),
        ),
        inputs=codes,
        mistakes=(
            Mistake("pairs[..., 0] | pairs[..., 1] << 4", "pairs[..., 1] | pairs[..., 0] << 4",
                    N_("The two are exchanged: the first of a pair goes into the lower four bits.")),
            Mistake("<< 4", "<< 3",
                    N_("Moved by three places only, so that the codes overlap: the lower one takes four.")),
            Mistake("pairs[..., 0] | pairs[..., 1] << 4", "pairs[..., 0] | pairs[..., 1]",
                    N_("The second code is not moved up by four places, and covers the first.")),
            Mistake("pairs = F.pad(codes, (0, codes.shape[1] % 2)).unflatten(1, (-1, 2))",
                    "pairs = F.pad(codes, (0, codes.shape[1] % 2)).unflatten(1, (2, -1)).transpose(1, 2)",
                    N_("The first half of the row is paired with the second: a pair are two neighbours.")),
            Mistake("pairs = F.pad(codes, (0, codes.shape[1] % 2)).unflatten(1, (-1, 2))",
                    "pairs = codes[:, : codes.shape[1] // 2 * 2].unflatten(1, (-1, 2))",
                    N_("The last code of an odd row is lost: it gets a byte, with a 0 beside it.")),
        ),
    ),
    Exercise(
        name="prune",
        target="groundup.compress.masks:lowest",
        title=N_("Pruning: which weights go"),
        text=N_("""\
Some weights matter little: set to zero, they are hardly missed. How much a weight matters, a score says,
most simply its size |w| (Han et al. 2015). Those with the lowest scores go, within a group of weights
that stands or falls together: the whole matrix, a row, or four neighbours.

Here a row of `scores` is such a group, and exactly `count` of each row are to be found. With count = 2:

    scores   0.3  0.1  0.2        5  6  4
    found     -   yes  yes       yes -  yes

Exactly `count`, even where some scores are equal; which of the equal ones it is does not matter. All
scores of the second row are larger than those of the first, and still two go from each.
In: scores, groups × size, and a number. Out: true and false, groups × size.
"""),
        hints=(
            N_("How do you find the places, not the values, of the lowest numbers of a row? And why does a "
               "comparison with a threshold not always give exactly `count`?"),
            N_("Sort each row, or take topk, and keep the indices. Then write True at these places of a tensor "
               "full of False."),
            N_("scores.topk(count, dim=1, largest=False).indices, and torch.zeros_like(scores, "
               "dtype=torch.bool).scatter(1, indices, True)"),
        ),
        inputs=scores,
        use=how_many_and_which,
        mistakes=(
            Mistake(", largest=False", "",
                    N_("The highest scores are found: with them the weights would go that matter most.")),
            Mistake("return torch.zeros_like(", "return ~torch.zeros_like(",
                    N_("True and false are exchanged: True is what goes, not what stays.")),
            Mistake("found = scores.topk(count, dim=1, largest=False).indices\n"
                    "    return torch.zeros_like(scores, dtype=torch.bool).scatter(1, found, True)",
                    "limit = scores.sort(dim=1).values[:, count - 1 : count]\n"
                    "    return scores <= limit if count else torch.zeros_like(scores, dtype=torch.bool)",
                    N_("With a threshold more than `count` are found where scores are equal.")),
            Mistake("found = scores.topk(count, dim=1, largest=False).indices\n"
                    "    return torch.zeros_like(scores, dtype=torch.bool).scatter(1, found, True)",
                    "found = scores.flatten().topk(count * len(scores), largest=False).indices\n"
                    "    flat = torch.zeros(scores.numel(), dtype=torch.bool)\n"
                    "    return flat.scatter(0, found, True).view_as(scores)",
                    N_("The lowest of all rows together: from some rows too many go, from others none.")),
            Mistake("topk(count,", "topk(scores.shape[1] - count,",
                    N_("`count` is how many go, not how many stay.")),
        ),
    ),
    Exercise(
        name="distill",
        target="groundup.compress.distill:distillation_step_by_step",
        title=N_("Distillation: learning from a teacher"),
        text=N_("""\
A text says of each position which token came. A trained model, the teacher, says how likely every token
was, and that teaches a small model, the student, much more: that "cat" would have fitted too, and "seven"
not at all (Hinton et al. 2015). With p the teacher's probabilities and q the student's, the divergence is

    KL(p ‖ q) = Σ p (log p − log q),    summed over the vocabulary, then averaged over the positions

A temperature T divides the logits of both before the softmax; above 1 what is unlikely counts more. As
the gradient shrinks by 1 / T² then, the divergence is multiplied by T². The loss mixes it with the
ordinary one:

    loss = (1 − share) · cross-entropy + share · T² · KL(p ‖ q)

The cross-entropy is that of the student with the tokens that came, at temperature 1.
Example of one position: p = (0.75, 0.25), q = (0.5, 0.5): KL = 0.75 · log 1.5 + 0.25 · log 0.5 = 0.131.
In: logits of both, positions × vocab, and the id of the token that came at each position. Out: one number.
"""),
        hints=(
            N_("Whose probabilities are the weights of the sum? And along which axis do probabilities add up "
               "to 1?"),
            N_("log_softmax of both logits, each divided by the temperature. The sum over the vocabulary, the "
               "mean over the positions, times T². Beside it F.cross_entropy of the student's logits as they "
               "are."),
            N_("(log_p.exp() * (log_p - log_q)).sum(-1).mean() with log_q = (student / "
               "temperature).log_softmax(-1), log_p likewise; then (1 - teacher_share) * label + teacher_share "
               "* temperature**2 * divergence"),
        ),
        inputs=logits_of_both,
        use=with_gradient,
        plugs=(Plug("groundup.compress.distill:distillation_loss", adapt=as_loss),),
        mistakes=(
            Mistake("(log_p.exp() * (log_p - log_q))", "(log_q.exp() * (log_q - log_p))",
                    N_("Teacher and student are exchanged: the weights of the sum are the teacher's "
                       "probabilities.")),
            Mistake(" * temperature**2 *", " *",
                    N_("T² is missing: at a high temperature the teacher would hardly be heard.")),
            Mistake(" * temperature**2 *", " * temperature *",
                    N_("The divergence is multiplied by T, and should be by T².")),
            Mistake("log_softmax(-1)\n    log_p = (teacher / temperature).log_softmax(-1)",
                    "log_softmax(0)\n    log_p = (teacher / temperature).log_softmax(0)",
                    N_("The softmax goes over the positions: the probabilities of one position, over the "
                       "vocabulary, add up to 1.")),
            Mistake(".sum(-1).mean()", ".mean()",
                    N_("The mean over the vocabulary as well: it is the sum over the vocabulary, and the mean "
                       "over the positions.")),
            Mistake("(teacher / temperature)", "teacher",
                    N_("Only the student's logits are divided by the temperature: the teacher's must be too.")),
            Mistake("cross_entropy(student, targets)", "cross_entropy(student / temperature, targets)",
                    N_("The cross-entropy with the tokens that came has no temperature.")),
        ),
    ),
)  # fmt: skip
