import math


class LanguageScore:
    @property
    def bits_per_byte(self):
        return self.nats * math.log2(math.e) / self.text_bytes
