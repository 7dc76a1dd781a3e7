"""Exercises on the figures that tell how well a model predicts."""

from groundup.lab.exercise import Draw, Exercise, Mistake
from groundup.language import N_


def nats_tokens_and_bytes(draw: Draw) -> tuple:
    tokens = draw.integer(5, 40)
    return tokens * draw.integer(50, 400) / 100, tokens, float(tokens * draw.integer(2, 5) + 1)


EXERCISES = (
    Exercise(
        name="perplexity",
        target="groundup.evaluate.language:LanguageScore.perplexity",
        title=N_("Perplexity"),
        text=N_("""\
A loss of 2.3 nats says little to anybody. Perplexity says the same as a number of choices: a model that
hesitates between ten equally likely tokens at each position has the perplexity 10. It is e to the power of
the mean loss of a token, as the loss is measured with the natural logarithm.

    perplexity = e^(nats / tokens)

`self` has `nats`, the sum of −log p over all tokens, `tokens`, their number, and `loss`, the mean. With
23.03 nats for 10 tokens the loss is 2.303 and the perplexity 10. The number depends on the tokenizer: the
longer its tokens, the harder each is to guess.
"""),
        hints=(
            N_("A model gives each of ten tokens the probability 1/10. What is its loss, and what undoes "
               "that?"),
            N_("The loss is a natural logarithm, so the power of e undoes it: of the mean, not of the sum."),
            N_("math.exp, of self.loss."),
        ),
        inputs=nats_tokens_and_bytes,
        use=lambda part, nats, tokens, text_bytes: part(nats, tokens, text_bytes).perplexity,
        mistakes=(
            Mistake("math.exp(self.loss)", "2**self.loss",
                    N_("The loss is in nats, not in bits: its power is that of e, not of 2.")),
            Mistake("math.exp(self.loss)", "math.exp(self.nats)",
                    N_("This is e to the power of the sum over all tokens; perplexity takes the mean of a "
                       "token.")),
            Mistake("math.exp(self.loss)", "math.exp(-self.loss)",
                    N_("This is the mean probability of a token; perplexity is one over it.")),
            Mistake("math.exp(self.loss)", "math.exp(self.nats / self.text_bytes)",
                    N_("The nats are divided by the bytes; perplexity is that of a token.")),
        ),
    ),
    Exercise(
        name="bits_per_byte",
        target="groundup.evaluate.language:LanguageScore.bits_per_byte",
        title=N_("Bits per byte: comparing models with different tokenizers"),
        text=N_("""\
The loss of a token depends on how long tokens are: a model of characters has a small loss because a
character is easy to guess, not because it knows more. So what the whole text costs is divided by what does
not depend on the tokenizer: the bytes of the text in UTF-8 (a Chinese character has three).

−log₂ p is the number of bits by which a perfect coder writes a token of probability p. The sum over the
tokens is the size to which the model compresses the text. A bit is ln 2 = 0.693 nats.

    bits per byte = nats / ln 2 / bytes

`self` has `nats`, the sum of −ln p over all tokens of the text, `tokens`, their number, and `text_bytes`.
With 69.3 nats for a text of 100 bytes it is 1.0, whether the text was cut into 20 tokens or into 50.
Without any knowledge it is 8.
"""),
        hints=(
            N_("How many bits does the whole text take? And how long was it before, in a unit that no "
               "tokenizer changes?"),
            N_("Turn the sum of nats into bits (a token of probability 1/2 costs ln 2 nats, and one bit), "
               "and divide by the bytes. The number of tokens is not needed."),
            N_("Divide self.nats by math.log(2), then by self.text_bytes."),
        ),
        inputs=nats_tokens_and_bytes,
        use=lambda part, nats, tokens, text_bytes: part(nats, tokens, text_bytes).bits_per_byte,
        mistakes=(
            Mistake("self.nats / math.log(2) / self.text_bytes", "self.nats / self.text_bytes",
                    N_("These are nats per byte: a bit is ln 2 nats, so divide by ln 2.")),
            Mistake("self.nats / math.log(2) / self.text_bytes", "self.nats * math.log(2) / self.text_bytes",
                    N_("Nats become bits when they are divided by ln 2, not multiplied.")),
            Mistake("self.nats / math.log(2) / self.text_bytes", "self.loss / math.log(2) / self.text_bytes",
                    N_("The mean of one token is divided by the bytes of all: take the sum over the tokens.")),
            Mistake("self.nats / math.log(2) / self.text_bytes", "self.nats / math.log(2) / self.tokens",
                    N_("These are bits per token, which change with the tokenizer: divide by the bytes.")),
            Mistake("self.nats / math.log(2) / self.text_bytes", "self.text_bytes / (self.nats / math.log(2))",
                    N_("Upside down: this is bytes per bit.")),
        ),
    ),
)  # fmt: skip
