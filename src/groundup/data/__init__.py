"""Documents in, batches of token ids out.

Read in this order: `shards.py` (documents → token files on disk), `windows.py` (token files →
windows, each a pure function of a seed and its number).
"""
