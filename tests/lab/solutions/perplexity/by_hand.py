import math


class LanguageScore:
    @property
    def perplexity(self):
        return math.e ** (self.nats / self.tokens)
