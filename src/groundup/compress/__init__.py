"""A model in, a smaller or cheaper one out.

In few bits: `groundup.model.quantized` (what a matrix in few bits is, and how it is multiplied), `rounding.py`
(GPTQ: rounding that corrects its own errors), `quantize.py` (a whole model, rounded in one pass).

With fewer weights: `masks.py` (weights that become zero), `structured.py` (heads, columns and layers that
go), `prune.py` (all patterns by their names), `recover.py` (training that keeps zeros zero), `distill.py` (a
student that learns from a teacher's probabilities), `teacher_cache.py` (those probabilities, kept). `pareto.py`
says which of several results are worth having. Settings are in `config.py`. Nothing here runs a loop:
what is trained is trained by `groundup.train`.
"""
