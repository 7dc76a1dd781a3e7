import torch


class PlainCache:
    def update(self, layer, k, v, window=None):
        new = [k, v]
        old = self.layers.get(layer, [x[:, :, :0] for x in new])
        both = [torch.cat(pair, dim=-2) for pair in zip(old, new, strict=True)]
        self.layers[layer] = tuple(both)
        return tuple(both)
