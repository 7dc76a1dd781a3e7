"""Batches in, weights out: the one training loop.

Read in this order: `config.py` (its settings), `loop.py` (the loop), `objectives.py` (what is
minimised), `schedules.py` and `optimizers.py` (how), `checkpoint.py` and `checkpoint_files.py` (losing
nothing), `metrics.py` (seeing what happens), `clock.py` (where the time goes), `session.py` (all of it in
a directory), `early_stop.py` (when to end), `memory.py` (what a step needs of it), `machine.py` (two
switches for speed). On several processes: `processes.py` (who they are), `parallel.py` (who does what),
`mesh.py` (a model in parts), `parts.py` (tensors in parts), `recompute.py` (keeping less), `health.py`
(which one is slow), `lookout.py` (which one hangs).
Pretraining and every later kind of tuning are objectives of this loop, never loops of their own.
"""
