import torch


class PlainCache:
    def update(self, layer, k, v, window=None):
        old = self.layers.get(layer)
        if old is not None:
            k = torch.cat((old[0], k), 2)
            v = torch.cat((old[1], v), 2)
        self.layers[layer] = (k, v)
        return self.layers[layer]
