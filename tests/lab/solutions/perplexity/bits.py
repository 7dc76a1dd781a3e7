import numpy as np


class LanguageScore:
    @property
    def perplexity(self):
        bits = self.loss / np.log(2)
        return np.exp2(bits).item()
