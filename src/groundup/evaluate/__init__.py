"""Weights in, numbers out: how good is a model?

`language.py` (loss, perplexity, bits per byte of a text), `questions.py` (questions with exact answers,
against chance), `prediction.py` and `classification.py` (labels of texts, beside simple classifiers).
Nothing here trains.
"""
