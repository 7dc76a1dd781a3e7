"""Compression as a user asks for it: model directories and text in, a smaller model directory out.

Read in this order: `text.py` (what the choice, the training and the measuring look at), `place.py` (where
the result and its training lie), `training.py` (a session of the one loop on that text), `quantize.py`,
`prune.py`, `distill.py`; then `report.py`, which compares what they make: `variants.py` (makes them),
`speed.py`, `comparison.py` (the table and the page). What is done to a model is in `groundup.compress`.
"""
