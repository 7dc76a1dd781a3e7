"""Questions about a story: every one that has exactly one answer, with its level.

Level 1 (task "find"): the fact was told once and nothing it depends on has changed.
Level 2 ("last"): the fact is the last of several changes.
Level 3 ("join"): the answer follows only from two facts together.
Task "order" asks what came before or after.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from groundup.world.held_out import Fact
from groundup.world.narrate import join_sentences, with_look
from groundup.world.question import Question
from groundup.world.story import Story
from groundup.world.words import Look, Person, Thing, Word


@dataclass(frozen=True, slots=True)
class Query:
    """A question before it is put into words: `form` picks the wording, `about` fills it."""

    task: str
    form: str
    about: tuple[Word, ...]
    answer: Word
    facts: tuple[Fact, ...]


WORDINGS = {
    "en": {
        "where is person": ("Where is {0}?", "Where is {0} now?", "In which place is {0}?"),
        "who is in": ("Who is in the {0}?", "Who is in the {0} now?"),
        "what has": ("What does {0} have?", "What is {0} holding?", "What does {0} have now?"),
        "who has": ("Who has the {0}?", "Who is holding the {0}?", "Who has the {0} now?"),
        "colour": ("What colour is the {0}?", "Which colour does the {0} have?"),
        "where is thing": ("Where is the {0}?", "Where is the {0} now?"),
        "who is with": ("Who is with {0}?", "Who is in the same place as {0}?"),
        "what has the one in": (
            "What does the person in the {0} have?",
            "What is the person in the {0} holding?",
        ),
        "place before": ("Where was {0} before the {1}?",),
        "place after": ("Where did {0} go after the {1}?",),
        "keeper before": ("Who had the {0} before {1}?",),
    },
    "zh": {
        "where is person": ("{0}在哪里？", "{0}现在在哪里？", "{0}在什么地方？"),
        "who is in": ("谁在{0}？", "现在谁在{0}？"),
        "what has": ("{0}有什么？", "{0}拿着什么？", "{0}现在有什么？"),
        "who has": ("谁有{0}？", "谁拿着{0}？", "现在谁有{0}？"),
        "colour": ("{0}是什么颜色的？", "{0}是哪种颜色的？"),
        "where is thing": ("{0}在哪里？", "{0}现在在哪里？"),
        "who is with": ("谁和{0}在一起？", "谁和{0}在同一个地方？"),
        "what has the one in": ("在{0}的人有什么？", "在{0}的人拿着什么？"),
        "place before": ("去{1}之前，{0}在哪里？",),
        "place after": ("离开{1}之后，{0}去了哪里？",),
        "keeper before": ("在{1}之前，谁有{0}？",),
    },
}

# {0} is what the question names first, {1} the answer. An answer is a sentence that says again what
# was asked: natural, and easy to learn, as stories tell it in the same words.
ANSWERS = {
    "en": {
        "where is person": "{0} is in the {1}.",
        "who is in": "The one in the {0} is {1}.",
        "what has": "{0} has the {1}.",
        "who has": "The one with the {0} is {1}.",
        "colour": "The {0} is {1}.",
        "where is thing": "The {0} is in the {1}.",
        "who is with": "The one with {0} is {1}.",
        "what has the one in": "The one in the {0} has the {1}.",
        "place before": "{0} was in the {1}.",
        "place after": "{0} went to the {1}.",
        "keeper before": "The one with the {0} was {1}.",
    },
    "zh": {
        "where is person": "{0}在{1}。",
        "who is in": "在{0}的是{1}。",
        "what has": "{0}有{1}。",
        "who has": "有{0}的是{1}。",
        "colour": "{0}是{1}的。",
        "where is thing": "{0}在{1}。",
        "who is with": "和{0}在一起的是{1}。",
        "what has the one in": "在{0}的人有{1}。",
        "place before": "{0}在{1}。",
        "place after": "{0}去了{1}。",
        "keeper before": "之前有{0}的是{1}。",
    },
}


def queries(story: Story) -> list[Query]:
    """Every question that the story answers in exactly one way."""
    return [
        *_about_places(story),
        *_about_hands(story),
        *_about_things(story),
        *_about_company(story),
        *_about_order(story),
    ]


def put_into_words(query: Query, story: Story, told: str, language: str, rng: Random) -> Question:
    """The query as a question in `language` about the story `told`."""
    # "What colour is the red ball?" would give the answer away.
    full_share = 0.0 if query.form == "colour" else 0.5
    names = [_name(word, story, language, rng.random() < full_share) for word in query.about]
    question = rng.choice(WORDINGS[language][query.form]).format(*names)

    def answer(word: Word) -> str:
        said = _name(word, story, language, in_full=True)
        return ANSWERS[language][query.form].format(names[0], said)

    candidates = tuple(answer(word) for word in _named(story, _kind(query.answer)))
    return Question(
        query.task, language, told, question, answer(query.answer), candidates, query.facts
    )


def _is_in(person: Person, place: Word) -> Fact:
    return ("is in", person.en, place.en)


def _has(person: Person, thing: Thing) -> Fact:
    return ("has", person.en, thing.en)


def _find_or_last(told_once: bool) -> str:
    return "find" if told_once else "last"


def _about_places(story: Story) -> Iterator[Query]:
    """Where is Mia? Who is in the garden?"""
    for person, visits in story.visits.items():
        place = visits[-1]
        facts = (_is_in(person, place),)
        task = _find_or_last(len(visits) == 1)
        yield Query(task, "where is person", (person,), place, facts)
        if _only_one_in(story, place):
            others = (v for p, v in story.visits.items() if p is not person)
            untouched = len(visits) == 1 and not any(place in v for v in others)
            yield Query(_find_or_last(untouched), "who is in", (place,), person, facts)


def _only_one_in(story: Story, place: Word) -> bool:
    return sum(visits[-1] is place for visits in story.visits.values()) == 1


def _about_hands(story: Story) -> Iterator[Query]:
    """What does Mia have? Who has the ball? What does the person in the garden have?"""
    for person in story.handlings:
        held = story.held_by(person)
        for thing in held:
            told_once = len(story.keepers[thing]) == 1
            facts = (_has(person, thing),)
            yield Query(_find_or_last(told_once), "who has", (thing,), person, facts)
        if len(held) == 1:
            thing = held[0]
            told_once = story.handlings[person] == len(story.keepers[thing]) == 1
            facts = (_has(person, thing),)
            yield Query(_find_or_last(told_once), "what has", (person,), thing, facts)
            place = story.place_of(person)
            if place and _only_one_in(story, place):
                facts = (_is_in(person, place), _has(person, thing))
                yield Query("join", "what has the one in", (place,), thing, facts)


def _about_things(story: Story) -> Iterator[Query]:
    """What colour is the ball? Where is the ball?"""
    for thing, keepers in story.keepers.items():
        look, keeper = story.looks[thing], keepers[-1]
        if look.is_colour:
            yield Query("find", "colour", (thing,), look, (("looks", look.en, thing.en),))
        if not isinstance(keeper, Person):
            task = _find_or_last(len(keepers) == 1)
            facts = (("lies in", thing.en, keeper.en),)
            yield Query(task, "where is thing", (thing,), keeper, facts)
        elif place := story.place_of(keeper):
            facts = (_has(keeper, thing), _is_in(keeper, place))
            yield Query("join", "where is thing", (thing,), place, facts)


def _about_company(story: Story) -> Iterator[Query]:
    """Who is with Mia?"""
    for person, visits in story.visits.items():
        place = visits[-1]
        company = [p for p, v in story.visits.items() if v[-1] is place and p is not person]
        if len(company) == 1:
            facts = (_is_in(person, place), _is_in(company[0], place))
            yield Query("join", "who is with", (person,), company[0], facts)


def _about_order(story: Story) -> Iterator[Query]:
    """Where was Mia before the garden, where did she go after it? Who had the ball before Tom?"""
    for person, visits in story.visits.items():
        for earlier, later in zip(visits, visits[1:], strict=False):
            if visits.count(later) == 1:
                fact = _is_in(person, earlier)
                yield Query("order", "place before", (person, later), earlier, (fact,))
            if visits.count(earlier) == 1:
                fact = _is_in(person, later)
                yield Query("order", "place after", (person, earlier), later, (fact,))
    for thing, keepers in story.keepers.items():
        holders = [keeper for keeper in keepers if isinstance(keeper, Person)]
        for earlier, later in zip(holders, holders[1:], strict=False):
            if holders.count(later) == 1 and earlier is not later:
                fact = _has(earlier, thing)
                yield Query("order", "keeper before", (thing, later), earlier, (fact,))


def _kind(word: Word) -> str:
    if isinstance(word, Person):
        return "person"
    if isinstance(word, Thing):
        return "thing"
    return "colour" if isinstance(word, Look) else "place"


def _named(story: Story, kind: str) -> list[Word]:
    """What the story has named of a kind: what a blind guesser would pick from."""
    match kind:
        case "thing":
            return list(story.keepers)
        case "colour":
            looks = [story.looks[thing] for thing in story.keepers]
            return list(dict.fromkeys(look for look in looks if look.is_colour))
        case "person":
            people = (p for event in story.events for p in (event.person, event.other))
            return list(dict.fromkeys(person for person in people if person))
    return list(dict.fromkeys(event.place for event in story.events if event.place))


def _name(word: Word, story: Story, language: str, in_full: bool) -> str:
    """A word as sentences use it; a thing `in_full` with its look ("red ball"), else without."""
    if isinstance(word, Thing) and in_full:
        return with_look(word, story.looks[word], language)
    return word.in_language(language)


SUMMARIES = {
    "en": (("Where is everyone?", "Who is where?"), "{0} is in the {1}.",
           ("Who has what?", "What does everyone have?"), "{0} has the {1}."),
    "zh": (("大家在哪里？", "谁在哪里？"), "{0}在{1}。",
           ("谁有什么？", "大家有什么？"), "{0}有{1}。"),
}  # fmt: skip


def summaries(story: Story, told: str, language: str, rng: Random) -> list[Question]:
    """Where is everyone? Who has what? The answer tells all of it, in the order of the story."""
    where, place, hands, thing = SUMMARIES[language]
    places = [(person, visits[-1]) for person, visits in story.visits.items()]
    held = [(person, thing) for person in story.handlings for thing in story.held_by(person)]
    questions = []
    for wordings, form, pairs in ((where, place, places), (hands, thing, held)):
        if pairs:
            said = [
                form.format(*(_name(word, story, language, True) for word in pair))
                for pair in pairs
            ]
            answer = join_sentences(said, language)
            relation = "is in" if form is place else "has"
            facts = tuple((relation, first.en, second.en) for first, second in pairs)
            question = rng.choice(wordings)
            questions.append(
                Question("summary", language, told, question, answer, (answer,), facts)
            )
    return questions
