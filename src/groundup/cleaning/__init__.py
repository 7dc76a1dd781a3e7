"""Documents in, cleaner documents out, by the steps that a recipe names.

Read in this order: `step.py` (what a step is, and the record of what it did), `clean.py` (all steps,
and their run), then any step: `characters.py` (repair, unicode, width, simplify), `filters.py`
(length, repetition), `lines.py` (boilerplate), `duplicates.py`, `language.py`, `personal.py`. Texts that
are nearly the same: `sketch.py` (what they share), `alignment.py` (how much is the same),
`near_duplicates.py` (within one corpus), `leaks.py` (between two).
Documents stream through as `Piece`s and no step holds more than a bounded memory of them.
"""
