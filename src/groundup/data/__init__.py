"""Documents in, batches of token ids out.

Read in this order: `shards.py` (documents → token files on disk), `splitting.py` (which documents are
kept for validation), `joining.py` (parts that were written apart), `windows.py` (token files →
windows, each a pure function of a seed and its number), `mixing.py` (several sources in one stream).

For a job: `examples.py` (rows → texts and labels), `parts.py` (balanced and divided), `labelled.py`
(batches of them); `instructions.py` (rows → conversations), `packing.py` (several in a row, with general
text among the rows); `pairs.py` (rows → two answers to a prompt), `order.py` (who comes when).
"""
