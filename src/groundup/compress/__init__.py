"""A model in, a smaller or cheaper one out.

Read in this order: `masks.py` (weights that become zero), `structured.py` (heads, columns and layers that
go), `prune.py` (all patterns by their names), `recover.py` (training that keeps zeros zero), `distill.py`
(a student that learns from a teacher's probabilities). Settings are in `config.py`. Nothing here runs a
loop: what is trained is trained by `groundup.train`.
"""
