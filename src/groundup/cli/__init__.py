"""The command line: one file per verb, no logic.

Read in this order: `main.py` (finds the verb, prints errors, sets the exit status), `flags.py` (flags
from the settings classes), `console.py` (what is drawn on the terminal), then any verb.
"""
