"""Documents in, batches of token ids out.

Read in this order: `shards.py` (documents → token files on disk), `splitting.py` (which documents are
kept for validation), `joining.py` (parts that were written apart), `windows.py` (token files →
windows, each a pure function of a seed and its number), `mixing.py` (several sources in one stream).
For texts with labels: `examples.py` (rows → texts and labels), `parts.py` (balanced and divided),
`labelled.py` (batches).
"""
