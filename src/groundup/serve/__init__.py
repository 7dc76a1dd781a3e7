"""A model at work: OpenAI's protocol over HTTP.

In: a model, and requests as OpenAI's clients send them. Out: answers, whole or as they come.

Read `app.py` first: the paths and what each does. Then a request's way: `access.py` (who may ask, and how
much), `openai.py` (what may be asked), `answering.py` (tokens as pieces of text), `worker.py` (the thread
in which the model works), `forms.py` (what goes over the wire), `errors.py`. `served.py` loads what is
served, `metrics.py` counts, `config.py` has the settings. `page.py` gives the web page, the files of the
folder `page`, `inside.py` what it shows of a model's inside, and `run.py` what of the run that has made
it. `streaming.py` is what all streams have in common.
"""
