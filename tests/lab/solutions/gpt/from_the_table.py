from groundup.model.places import Places


class GPT:
    def hidden(self, ids, past=None, padding=None, segments=None):
        """Embeds the ids itself."""
        places = Places(ids, past, padding, segments)
        x = self.embedding(ids) * self.embedding_scale
        x = self.dropout(self.position(x, places))
        for block in self.blocks:
            x = block(x, places)
        return self.final_norm(x)
