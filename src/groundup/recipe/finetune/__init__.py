"""The tuning stage of a recipe: a model directory and rows in, a model with a job out.

Read in this order: `tuning.py` (what every kind gives), `stage.py` (the way that all go), then a kind:
`classify.py`, `instruct.py`, `prefer.py`, `reason.py`. `rows.py` says which rows, `held_out.py` what
the pretraining must not see of them, `general.py` what else the model should not forget.
"""
