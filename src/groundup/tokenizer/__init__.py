"""Text in, token ids out, and back. No torch here.

Read in this order: `bpe.py` (how a vocabulary is learned: first simple, then fast), `words.py` (the
words it learns from, counted in parallel), `tokenizer.py` (the face that everybody uses),
`vocabulary.py` (how text becomes ids under a vocabulary), `chat.py` (conversations as text),
`files.py` (the file formats of Hugging Face and GPT-2).
"""
