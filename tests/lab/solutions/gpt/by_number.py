from groundup.model.places import Places


class GPT:
    def hidden(self, ids, past=None, padding=None, segments=None):
        where = Places(ids, past=past, padding=padding, segments=segments)
        stream = [self.embedded(ids, where)]
        for layer in range(len(self.blocks)):
            stream.append(self.blocks[layer](stream[-1], where))
        return self.final_norm(stream[-1])
