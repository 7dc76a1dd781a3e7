class Tokenizer:
    def decode(self, ids):
        written = bytearray()
        for id_ in ids:
            written.extend(self.token_bytes(id_))
        prefix = self.vocabulary.prefix
        if written.startswith(prefix):
            written = written[len(prefix) :]
        return str(bytes(written), "utf-8", "replace")
