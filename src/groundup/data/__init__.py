"""Documents in, batches of token ids out.

Read in this order: `shards.py` (documents → token files on disk), `splitting.py` (which documents are
kept for validation), `joining.py` (parts that were written apart), `windows.py` (token files →
windows, each a pure function of a seed and its number), `mixing.py` (several sources in one stream).

For a job: `instructions.py` (rows → conversations) and `packing.py` (several examples in a row, with
general text among the rows); `examples.py` (rows → texts and labels), `parts.py` (balanced and divided)
and `labelled.py` (batches); `pairs.py` (rows → pairs of answers); `order.py` (who comes when).
"""
