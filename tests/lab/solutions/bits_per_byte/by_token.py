import math


class LanguageScore:
    @property
    def bits_per_byte(self):
        bits_per_token = self.loss / math.log(2)
        bytes_per_token = self.text_bytes / self.tokens
        return bits_per_token / bytes_per_token
