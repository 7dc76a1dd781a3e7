"""Weights in, numbers out: how good is a model, and how sure is that?

Read in this order: `subject.py` (the three questions that everything asks of a model) over
`likelihood.py` (ids in, likelihoods out); `intervals.py` (how sure a figure is); `language.py` (loss,
perplexity, bits per byte of a text); `exam.py` over `exam_file.py` (questions from files), `cloze.py` and
`terms.py` (questions out of documents) and `ngram.py` (a baseline); `forgetting.py` (before and after);
`harness.py` (published tasks); `questions.py` (the sample world's, with exact answers); `prediction.py`
and `classification.py` (labels of texts, beside simple classifiers). Answers that somebody judges:
`cases.py`, `answers.py`, `judge.py` over `endpoint.py` and `kept.py`, `verdicts.py`, `ranking.py`,
`vote_page.py`. What a model recites: `memorisation.py`. What goes on
inside it: `inside.py`. What is told of all that: `results.py`,
`sections.py`, `judge_results.py`, `report.py`. Nothing here trains.
"""
