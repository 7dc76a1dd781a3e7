"""Everything of the world, mixed: documents to learn from and questions for the exam."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from groundup.world.ask import put_into_words, queries, summaries
from groundup.world.held_out import Allowed, anything, held_out, in_training
from groundup.world.narrate import narrate
from groundup.world.question import Question
from groundup.world.story import make_story
from groundup.world.talk import small_talk
from groundup.world.tasks import TASK_MAKERS
from groundup.world.words import LANGUAGES, VOCABULARY


@dataclass(frozen=True)
class Mixture:
    """How much of what the documents hold."""

    stories: float = 0.8
    """Share of documents that are a story with questions."""
    tasks: float = 0.17
    """Share that are questions without a story; the rest is small talk and plain stories."""
    questions: int = 5
    """The most questions to a story or of a row of tasks."""
    fewest_events: int = 2
    most_events: int = 8
    """How long stories are."""
    growth: float = 0.6
    """Share of the documents over which stories grow from the fewest to the most events: what is
    short is learned first (curriculum learning, Bengio et al. 2009)."""


@dataclass(frozen=True)
class Document:
    """A conversation: (role, content) by turns; or a plain text, which has no roles."""

    language: str
    turns: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """The document as training reads it, in the default chat template of groundup."""
        return "".join(
            f"<|{role}|> {content}<|end|>" if role else content for role, content in self.turns
        )


def spaced(text: str) -> str:
    """`text` with a space around each Chinese word of the lexicon: a vocabulary learned from it
    has these words as tokens, and none that reaches over their borders (在图书馆 is 在 + 图书馆)."""
    return _CHINESE_WORDS.sub(r" \g<0> ", text)


# 颜色 is no name, but without it 色的 would become a token of its own and cut 金色的 in two.
_CHINESE_WORDS = re.compile(
    "|".join(sorted({"颜色", *(w.zh for w in VOCABULARY)}, key=lambda word: (-len(word), word)))
)


def training_documents(
    seed: int, count: int, mixture: Mixture | None = None, languages: tuple[str, ...] = LANGUAGES
) -> Iterator[Document]:
    """`count` documents, the same ones for the same arguments; none shows a held-out fact."""
    mixture = mixture or Mixture()
    rng = Random(seed)
    for i in range(count):
        share = min(1.0, i / count / mixture.growth) if mixture.growth else 1.0
        grown = round(share * (mixture.most_events - mixture.fewest_events))
        most_events = mixture.fewest_events + grown
        yield _document(rng, rng.choice(languages), mixture, most_events)


def held_out_questions(
    language: str, task: str, count: int, seed: int = 0, events: tuple[int, int] = (3, 8)
) -> list[Question]:
    """`count` questions of a task whose facts training never shows. `events`: the least and the
    most of their stories."""
    rng = Random(f"exam {seed} {language} {task}")
    return [_question(rng, language, task, events, anything, held_out) for _ in range(count)]


def training_questions(
    language: str, task: str, count: int, seed: int = 0, events: tuple[int, int] = (3, 8)
) -> list[Question]:
    """`count` questions of a task such as training may show: no fact in them is held out."""
    rng = Random(f"training {seed} {language} {task}")
    return [_question(rng, language, task, events, in_training, in_training) for _ in range(count)]


def _question(
    rng: Random, language: str, task: str, events: tuple[int, int], told: Allowed, asked: Allowed
) -> Question:
    """A question of a task: its story has facts that may be `told`, its answer those to be `asked`."""
    if task in TASK_MAKERS:
        return TASK_MAKERS[task](rng, language, asked)
    while True:
        story = make_story(rng, rng.randint(*events), told)
        fitting = [q for q in queries(story) if q.task == task and all(map(asked, q.facts))]
        if fitting:
            text = narrate(story, language, rng)
            return put_into_words(rng.choice(fitting), story, text, language, rng)


def _document(rng: Random, language: str, mixture: Mixture, most_events: int) -> Document:
    kind = rng.random()
    if kind < mixture.stories:
        return _story(rng, language, mixture, most_events)
    if kind < mixture.stories + mixture.tasks:
        maker = TASK_MAKERS[rng.choice(list(TASK_MAKERS))]
        rows = [maker(rng, language, in_training) for _ in range(rng.randint(1, mixture.questions))]
        return Document(language, _turns(rows))
    if rng.random() < 0.5:
        said, answer = small_talk(rng, language)
        return Document(language, (("user", said), ("assistant", answer)))
    story = make_story(rng, most_events, in_training)
    return Document(language, (("", narrate(story, language, rng)),))


def _story(rng: Random, language: str, mixture: Mixture, most_events: int) -> Document:
    """A story with a few of the questions it answers, of different tasks as far as possible."""
    n_events = rng.randint(mixture.fewest_events, most_events)
    story = make_story(rng, n_events, in_training)
    told = narrate(story, language, rng)
    by_task: dict[str, list[Question]] = {}
    asked = queries(story)
    for query in rng.sample(asked, len(asked)):
        question = put_into_words(query, story, told, language, rng)
        by_task.setdefault(question.task, []).append(question)
    for question in summaries(story, told, language, rng):
        by_task.setdefault("summary", []).append(question)
    rows: list[Question] = []
    while by_task and len(rows) < mixture.questions:
        task = rng.choice(list(by_task))
        rows.append(by_task[task].pop())
        if not by_task[task]:
            del by_task[task]
    return Document(language, _turns(rows))


def _turns(questions: list[Question]) -> tuple[tuple[str, str], ...]:
    """The questions one after another; the story is told with the first."""
    turns = []
    for i, question in enumerate(questions):
        turns.append(("user", question.prompt if i == 0 else question.question))
        turns.append(("assistant", question.answer))
    return tuple(turns)
