from functools import reduce

from groundup.model.places import Places


class GPT:
    def hidden(self, ids, past=None, padding=None, segments=None):
        places = Places(ids, past, padding, segments)
        embedded = self.embedded(ids, places)
        return self.final_norm(reduce(lambda x, block: block(x, places), self.blocks, embedded))
