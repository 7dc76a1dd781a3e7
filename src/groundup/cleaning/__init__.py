"""Documents in, cleaner documents out, by the steps that a recipe names.

Read in this order: `step.py` (what a step is, and the record of what it did), `clean.py` (all steps,
and their run), then any step: `characters.py` (repair, unicode, width, simplify), `filters.py`
(length, repetition), `lines.py` (boilerplate), `duplicates.py`, `language.py`, `personal.py`.
Documents stream through as `Piece`s and no step holds more than a bounded memory of them.
"""
