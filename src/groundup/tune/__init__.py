"""A model in, the same model with a job to do out.

Read in this order: `classify.py` (a label for a text), `instruct.py` (answers to instructions),
`prefer.py` (of two answers the better one; its formulas in `preference_losses.py`), `reason.py` (answers
that can be checked; formulas in `policy_loss.py`). Each is settings, batches and an objective of the one
loop (`groundup.train`); LoRA is a change to the model (`model/lora.py`). Nothing here runs a loop.
"""
