"""Exercises on texts."""

from collections.abc import Callable

import numpy as np

from groundup.lab.exercise import Draw, Exercise, Mistake, Plug
from groundup.language import N_
from groundup.tokenizer.words import SPLIT_PATTERN

MARKS = ("<|end|>", "[SEP]")
PIECES = (
    "to be", " or not", "to", "be", "猫在花园。", "机器学习", "don't", " 2026", "12345", "\n\n", "  ",
    "!?", "|end|", *MARKS, *MARKS,
)  # fmt: skip


def texts(draw: Draw) -> tuple:
    some = ["".join(draw.choice(PIECES) for _ in range(12)) for _ in range(draw.integer(2, 4))]
    pattern, special_tokens = draw.choice((SPLIT_PATTERN, r"\w+")), draw.choice((MARKS, MARKS, ()))
    return some, pattern, list(special_tokens)


def row_of_ids(draw: Draw) -> tuple:
    context_length = draw.integer(3, 6)
    count = 1 + draw.integer(0, 3) * context_length + draw.choice((0, 1, 2))
    return draw.integers(100, count).numpy(), context_length


def pairs(part: Callable, ids: np.ndarray, context_length: int) -> list:
    """Whether they come as a list or one by one is the learner's choice."""
    return list(part(ids, context_length))


def predicting(part: Callable) -> Callable:
    """`next_token` with a learner's inputs and targets: where targets are not the next tokens, something
    else is learned."""
    from groundup.model.loss import cross_entropy

    def next_token(model, ids, weights=None, segments=None):
        window = ids.shape[1]
        inputs, targets = next(iter(part(np.arange(window), window - 1)))
        inputs, targets = ids[:, inputs.tolist()], ids[:, targets.tolist()]
        count = inputs.shape[1]
        if segments is not None:
            segments = segments[:, :count]
        if weights is not None:
            weights = weights.view(len(ids), -1)[:, :count].flatten()
        hidden, head = model.hidden(inputs, segments=segments).flatten(0, 1), model.head
        loss = cross_entropy(hidden, head.weight, targets.flatten(), weights, head.softcap)
        return loss + model.auxiliary_loss()

    return next_token


EXERCISES = (
    Exercise(
        name="count_words",
        target="groundup.tokenizer.words:count_words_in",
        title=N_("Counting words"),
        text=N_("""\
A tokenizer learns its vocabulary from the words of a text and how often each of them occurs. The text itself
is not needed any more then: a long text has few different words.

Where a word begins and ends is said by a regular expression, not by spaces: Chinese has none, and "garden."
is a word and a full stop. groundup's own is SPLIT_PATTERN in groundup/tokenizer/words.py. It is written for
the module `regex`, which knows what Python's own `re` does not: which characters are Chinese.

Special tokens such as <|end|> are marks, not text. They are no words, and what stands before one and what
stands after it never make a word together. In the pattern of such a search a special token must stand for
itself: in a regular expression, | and [ have a meaning of their own. Spaces and punctuation are words too, if
the pattern finds them.

With the pattern [a-z]+ and the special token <|end|>:

    "to be<|end|>be"   →   to: 1, be: 2
"""),
        hints=(
            N_("Two steps for each text: part it at the special tokens, then find the words of each part. "
               "What counts things in Python?"),
            N_("The special tokens, each through regex.escape and joined by |, are the pattern of a "
               "separator. Without special tokens there is nothing to part: an empty pattern would match "
               "everywhere."),
            N_("For each text: for part in regex.split(separator, text): "
               "counts.update(regex.findall(pattern, part)), with counts = Counter()."),
        ),
        inputs=texts,
        mistakes=(
            Mistake("map(regex.escape, special_tokens)", "special_tokens",
                    N_("The special tokens are read as regular expressions: in <|end|> each | means “or”. "
                       "regex.escape makes them stand for themselves.")),
            Mistake("if special_tokens:", "if False:",
                    N_("The special tokens are counted as if they were text: part the text at them first.")),
            Mistake("separator.split(text)", "[separator.sub('', text)]",
                    N_("The special tokens are taken out, so that what stood before and after one becomes "
                       "one word. They separate.")),
            Mistake("compiled.findall(text)", "text.split()",
                    N_("The text is cut at spaces. What a word is, `pattern` says.")),
            Mistake("counts.update(compiled.findall(text))", "counts.update(set(compiled.findall(text)))",
                    N_("Each word is counted once in a text, however often it occurs there.")),
            Mistake("counts.update(compiled.findall(text))", "counts = Counter(compiled.findall(text))",
                    N_("The counts begin anew with each text: only those of the last one come back.")),
        ),
    ),
    Exercise(
        name="windows",
        target="groundup.data.windows:windows_step_by_step",
        title=N_("Windows: inputs and targets"),
        text=N_("""\
A model reads a text through a window of a fixed length, the context length. In each window it is asked at
every position for the next token, so the targets are the inputs moved on by one: a window of T inputs takes
T + 1 tokens of the text.

The windows stand side by side. The last target of a window is the first input of the next one, so that every
token but the very first is asked for exactly once. What is left at the end makes a shorter window.

The ids 0 1 2 3 4 5 with a context length of 3:

    inputs  0 1 2     targets  1 2 3
    inputs  3 4       targets  4 5

`ids` is an array of NumPy with one axis; inputs and targets are such arrays too. The windows may come as a
list, or one by one (`yield`).
"""),
        hints=(
            N_("How many ids does one window take from the text, and how far apart do two windows begin?"),
            N_("Let `start` go from 0 in steps of context_length, as long as there is at least one target "
               "after it. A window is the context_length + 1 ids from there, or what is left of them."),
            N_("for start in range(0, len(ids) - 1, context_length): window = ids[start : start + "
               "context_length + 1]; the inputs are all of it but the last id, the targets all but the "
               "first."),
        ),
        inputs=row_of_ids,
        use=pairs,
        plugs=(Plug("groundup.train.objectives:next_token", predicting),),
        mistakes=(
            Mistake("window[:-1], window[1:]", "window[:-1], window[:-1]",
                    N_("The targets are not shifted: the model is asked for the token that it is shown, and "
                       "learns to copy.")),
            Mistake("window[:-1], window[1:]", "window[1:], window[:-1]",
                    N_("Inputs and targets are exchanged: the target of a token is the one before it, which "
                       "the model has seen.")),
            Mistake("len(ids) - 1, context_length)", "len(ids) - 1, context_length + 1)",
                    N_("The windows begin context_length + 1 apart, so the token between two windows is "
                       "never a target.")),
            Mistake("len(ids) - 1, context_length)", "len(ids) - context_length, context_length)",
                    N_("The shorter window at the end is missing.")),
            Mistake("range(0, len(ids) - 1,", "range(0, len(ids),",
                    N_("A last token that has no token after it makes a window without targets.")),
            Mistake("start + context_length + 1]", "start + context_length]",
                    N_("A window takes context_length ids only, which makes one input and one target too "
                       "few.")),
        ),
    ),
)  # fmt: skip
