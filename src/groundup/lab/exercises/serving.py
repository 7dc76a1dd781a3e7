"""Exercises on models at work."""

from collections.abc import Callable

from groundup.generation.scheduler import Part
from groundup.lab.exercise import Draw, Exercise, Mistake, Plug
from groundup.language import N_


def texts(draw: Draw) -> tuple:
    """Texts of different lengths, the longest of them anywhere."""
    lengths = [draw.integer(1, 4) for _ in range(3)]
    lengths.insert(draw.integer(1, 3), draw.integer(6, 7))
    return ([[draw.integer(1, 99) for _ in range(length)] for length in lengths],)


def guesses_and_answers(draw: Draw) -> tuple:
    """Guesses of which all or all but one are right, and what the model says."""
    count = draw.choice([0, 3, 4, 6, 5])
    wrong = draw.integer(0, count)
    said = [draw.integer(1, 50) for _ in range(count + 1)]
    return [token + 50 * (i == wrong) for i, token in enumerate(said[:count])], said


def as_verdict(part: Callable) -> Callable:
    """In place of the engine's question at each turn, whether what the model says was guessed."""

    def is_guess(row: Part, turn: int, token: int) -> bool:
        not_said_yet = [-1] * (len(row.guesses) - turn)
        return len(part(row.guesses, [*row.guesses[:turn], token, *not_said_yet])) > turn + 1

    return is_guess


EXERCISES = (
    Exercise(
        name="pad",
        target="groundup.generation.sampling:ending_together",
        title=N_("Texts of different lengths in one tensor"),
        text=N_("""\
A model that serves several people goes on with all their texts in one pass. A tensor has rows of one
length, the texts have not, so the shorter ones are filled up: padded. What comes next is said at the last
token of each text, so all texts should end in the last column, and the padding stands before them:

    texts    4 5 6         rows    4 5 6
             7 8                   7 7 8

A mask hides the padding from attention. What it is made of matters to what looks at all used tokens, such
as the penalty for repetition: a token that the text has not must not appear. So each row is filled with
the first token of its text.
In: lists of token ids, none of them empty. Out: a tensor, rows × the length of the longest.
"""),
        hints=(
            N_("How many places does a text of n tokens lack, and on which side?"),
            N_("Find the length of the longest. In front of each text put its first token, as often as places "
               "are missing, and make a tensor of the lists."),
            N_("[text[0]] * (longest - len(text)) + list(text) is a row; longest is max(map(len, texts)), and "
               "torch.tensor takes a list of such rows."),
        ),
        inputs=texts,
        mistakes=(
            Mistake("[text[0]] * (longest - len(text)) + list(text)",
                    "list(text) + [text[0]] * (longest - len(text))",
                    N_("The padding stands at the end, so that in the last column, where the next token is "
                       "said, shorter texts have padding.")),
            Mistake("[text[0]] *", "[0] *",
                    N_("The padding is 0, a token that the text may not have: it is filled with its first "
                       "one.")),
            Mistake("[text[0]] *", "[text[-1]] *",
                    N_("The padding is the last token of the text, and should be its first.")),
            Mistake("[[text[0]] * (longest - len(text)) + list(text) for text in texts]",
                    "[list(text)[-min(map(len, texts)) :] for text in texts]",
                    N_("All texts are cut to the shortest: nothing may be lost.")),
            Mistake("for text in texts])", "for text in sorted(texts, key=len, reverse=True)])",
                    N_("The rows are sorted: each text must keep its place, as others are told of it by its "
                       "row.")),
        ),
    ),
    Exercise(
        name="accept",
        target="groundup.generation.speculative:accept_step_by_step",
        title=N_("Speculative decoding: which guesses stay"),
        text=N_("""\
A model says one token in a pass, and most of a pass goes into reading its weights. Looking at five tokens
takes hardly longer. So somebody quick, a small model say, guesses the next tokens, and the large one
looks at all of them in one pass (Leviathan et al. 2023). At each it says what it would have said itself:

    said[0]   after the text
    said[i]   after the text and the first i guesses: one more than there are guesses

As long as a guess is what the model says, it is right, and what the model says after it counts as well.
At the first wrong guess it is over: the model's own token stands there instead, and all that it said
further on was said after something that is not in the text. If every guess is right, the token after the
last one comes on top.

    guesses   5  6  7        5  6  7        4  6  7
    said      5  6  9  4     5  6  7  8     5  6  7  8
    kept      5  6  9        5  6  7  8     5

So each pass gives at least one token, and the text is the same as without guesses, only sooner.
In: a list of guesses, and a list of what the model says, which is longer by one. Out: a list of tokens.
"""),
        hints=(
            N_("If the first guess is wrong, how many tokens does the pass give? And if all n guesses are "
               "right?"),
            N_("Count how many guesses from the beginning are what the model says, and stop counting at the "
               "first that is not. Then one token more than that is kept."),
            N_("With right = the number of right guesses at the beginning: said[: right + 1]"),
        ),
        inputs=guesses_and_answers,
        plugs=(Plug("groundup.generation.engine:_is_guess", adapt=as_verdict),),
        mistakes=(
            Mistake("right + 1])", "right])",
                    N_("The model's own token is lost: after the right guesses comes what it says itself, so "
                       "that each pass gives at least one.")),
            Mistake("list(said[: right + 1])", "list(guesses[: right + 1])",
                    N_("The first wrong guess is kept instead of what the model says in its place.")),
            Mistake("list(said[: right + 1])",
                    "[t for i, t in enumerate(said) if i == 0 or guesses[i - 1] == said[i - 1]]",
                    N_("What was said after a later right guess is kept, although a wrong one stands before "
                       "it.")),
            Mistake("list(said[: right + 1])", "list(said)",
                    N_("All that the model says is kept, even after a wrong guess.")),
            Mistake("guesses[right] == said[right]", "guesses[right] == said[right + 1]",
                    N_("Off by one: said[i] is said after i guesses, so it is to be compared with "
                       "guesses[i].")),
            Mistake("list(said[: right + 1])", "list(said[: min(right + 1, len(guesses))])",
                    N_("Where all guesses are right, the token after the last one is lost.")),
        ),
    ),
)  # fmt: skip
