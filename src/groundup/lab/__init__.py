"""Build it yourself: write a part of groundup, have it checked, and train and talk to a model that runs on it.

In: the source of groundup, and a learner's folder. Out: that folder's files, what is wrong with them, and
a model with the learner's parts. Read `exercise.py`, then `cut.py` (from the source to an exercise),
`examine.py` (trying a part), `check.py` (each in a process of its own), `folder.py` (what a learner has),
and `plug.py` and `train.py` (a learner's parts at work). The exercises are in `exercises/`.
"""
