import codecs


class Tokenizer:
    def decode(self, ids):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = "".join(decoder.decode(self.token_bytes(id_)) for id_ in ids)
        return (text + decoder.decode(b"", final=True)).removeprefix(
            self.vocabulary.prefix.decode()
        )
