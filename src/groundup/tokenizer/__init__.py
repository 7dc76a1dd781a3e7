"""Text in, token ids out, and back. No torch here.

Read in this order: `bpe.py` (how a vocabulary is learned: first simple, then fast), `words.py` (the
words it learns from, counted in parallel), `tokenizer.py` (the face that everybody uses),
`vocabulary.py` (how text becomes ids under a vocabulary), `stream.py` (ids become text one by one),
`chat.py` (conversations as text), `templates.py` (the ways to write them, by name), `turns.py` (what of
them the assistant says), `learn.py` (vocabularies from text).

Then other people's: `library.py`, `sentence_piece.py`, `ranks.py` (vocabularies that the libraries
tokenizers, sentencepiece and tiktoken run), `files.py` (which file of a directory is which),
`framing.py` (what they say of special tokens and templates), `saving.py` (how all of that is written
again), `gguf.py` and `llama2c.py` (tokenizers inside other formats), `spelling.py` (bytes as text).

Last, vocabularies for a domain: `added.py` (words with an id of their own), `extending.py` and
`choosing.py` (which words, and how they come in), `shrinking.py` (what is never used goes), `usage.py`.
"""
