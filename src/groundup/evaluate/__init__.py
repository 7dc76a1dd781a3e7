"""Weights in, numbers out: how good is a model?

`language.py` (loss, perplexity, bits per byte of a text) and `questions.py` (questions with exact
answers, against chance). Nothing here trains.
"""
