"""Logits in, text out: the one engine.

Read in this order: `plain.py` (the loop and the cache as simple as they can be), `engine.py` (token ids →
token ids), `sampling.py` (how a token is chosen), `paged.py` (what the model remembers of many texts, and
why that is fast), `scheduler.py` (who is next), `text.py` (prompts and answers as text, stop strings,
streaming). Then what may be added: `speculative.py` (guessing ahead), `schema.py` (answers of a given
form), `beams.py` (the likeliest text); `setup.py` makes an engine of a user's settings, `compiled.py` the
fast form of a model's steps on a CPU. The command line, the chat, evaluation, samples during training and
the server all come through here.
"""
