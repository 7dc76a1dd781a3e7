"""What is wrong, where it shows, and what to do: with this machine, and with a run.

In: nothing, or a run directory, finished or under way. Out: `Finding`s; none where all is well.

Read in this order: `finding.py` (what a finding is), `run.py` (what is read of a run directory),
`examine.py` (all symptoms, and which of them only follow from others), then the symptoms, grouped by
what they look at: `curves.py` (loss and gradients over the steps), `rates.py` (learning rate and
schedule), `fit.py` (model, text and validation against each other), `weights.py` (what the saved model
does), `text.py` (tokenizer, token ids, samples), `files.py` (what lies on the disk). `machine.py`
needs no run. A symptom is a function from a run to findings; its docstring gives the reason for its
threshold, which is set so that a healthy run, however small, gives none.
"""
