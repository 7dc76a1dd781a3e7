class PlainCache:
    def update(self, layer, k, v, window=None):
        old = self.layers.get(layer)
        before = old[0].shape[2] if old else 0
        grown = []
        for i, x in enumerate((k, v)):
            room = x.new_zeros(*x.shape[:2], before + x.shape[2], x.shape[3])
            if old:
                room[:, :, :before] = old[i]
            room[:, :, before:] = x
            grown.append(room)
        self.layers[layer] = grown[0], grown[1]
        return self.layers[layer]
