import torch


class LanguageScore:
    @property
    def bits_per_byte(self):
        nats, bits = torch.tensor(self.nats), torch.tensor(2.0).log()
        return nats / (self.text_bytes * bits)
