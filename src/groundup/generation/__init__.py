"""Logits in, text out: the one engine.

Read in this order: `engine.py` (token ids → token ids), `batch.py` (many texts at once), `cache.py`
(why that is fast), `sampling.py` (how a token is chosen), `text.py` (prompts and answers as text, stop
strings, streaming). Then, for a server: `scheduler.py` (who is next), `paged.py` (a cache that many
texts share) and `serving.py` (requests that come and go while others run). The command line, the chat,
evaluation and samples during training all come through here.
"""
