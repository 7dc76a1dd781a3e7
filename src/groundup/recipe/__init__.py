"""A recipe in, a finished model out.

Read in this order: `schema.py` (the whole configuration), `run.py` (the stages, one after another),
`pretrain.py` (the longest of them), `quickstart.py` (a recipe for the sample world), `watch.py` (who
wants to see what happens), `report.py` (the page that remains), `trainings.py` (what can be seen of a
run meanwhile, and what its model said at each checkpoint), `compare.py` (a folder of recipes, each
beside the one before) and `comparison.py` (what that has found).
"""
