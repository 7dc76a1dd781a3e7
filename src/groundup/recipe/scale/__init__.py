"""What training takes on GPUs that are not here: memory, time and money, from formulas.

In: a model's configuration, a number of GPUs and their name. Out: the layouts of data, shards and tensor
parallelism that fit, sorted by speed. Read in this order: `gpus.py` (what a GPU can do, with sources),
`layout.py` (how the work is divided), `memory.py` (bytes on one GPU), `speed.py` (seconds of one step),
`plan.py` (all of it together) and `published.py` (runs of others, to measure the formulas by).
"""
