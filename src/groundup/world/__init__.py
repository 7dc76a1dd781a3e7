"""The sample world: endless stories, questions and answers in English and Chinese, from a seed.

In: a seed, languages, and a `Mixture` (how much of each kind, how long the stories are).
Out: `training_documents` (an endless iterator of `Document`), `training_questions` (lists of `Question`
such as they hold) and `held_out_questions` (about combinations that never occur in either).

People, things and places follow simple laws (who holds what, who is where), so every question
has one exact answer, and what a model says can be marked right or wrong without another model.
Nothing here knows tokens or tensors, and nothing but the standard library is imported.

Read in this order:
  words.py      the lexicon: each word once, with its English and its Chinese form
  held_out.py   which combinations training never shows
  story.py      what happens: events that change who is where and who holds what
  narrate.py    how it is told: several sentences for each event, in either language
  question.py   what a question is
  ask.py        questions about a story, and the level of each
  tasks.py      questions without a story: arithmetic, opposites, order, copying, translation
  talk.py       greetings and other small talk
  documents.py  all of it mixed into documents for training and questions for the exam
"""
