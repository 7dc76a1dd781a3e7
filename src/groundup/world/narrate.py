"""How a story is told: several sentences for each kind of event, in either language.

A name keeps its form wherever it occurs (" garden" follows "the" in a story, a question and an
answer), so that a tokenizer gives it the same tokens and a model can learn to copy it.
"""

from random import Random

from groundup.world.story import Event, Story
from groundup.world.words import Look, Person, Thing

# {who} acts, {other} receives, {giver} is the one who acts where somebody else is the subject.
SENTENCES = {
    "en": {
        "is": (
            "{who} is in the {place}.",
            "{who} is in the {place} now.",
            "{who} waits in the {place}.",
            "{who} sits in the {place}.",
        ),
        "go": (
            "{who} goes to the {place}.",
            "{who} walks to the {place}.",
            "{who} runs to the {place}.",
            "{who} moves to the {place}.",
            "then {who} goes to the {place}.",
            "later {who} goes to the {place}.",
        ),
        "has": (
            "{who} has {a_thing}.",
            "{who} is holding {a_thing}.",
            "{who} finds {a_thing}.",
            "{who} buys {a_thing}.",
        ),
        "give": (
            "{who} gives the {thing} to {other}.",
            "{who} hands the {thing} to {other}.",
            "{who} passes the {thing} to {other}.",
            "then {who} gives the {thing} to {other}.",
            "{other} gets the {thing} from {giver}.",
        ),
        "lie": (
            "there is {a_thing} in the {place}.",
            "{a_thing} lies in the {place}.",
        ),
        "leave": (
            "{who} leaves the {thing} in the {place}.",
            "{who} puts the {thing} down in the {place}.",
        ),
        "take": (
            "{who} takes the {thing}.",
            "{who} picks up the {thing}.",
            "then {who} takes the {thing}.",
        ),
    },
    "zh": {
        "is": (
            "{who}在{place}。",
            "{who}现在在{place}。",
            "{who}待在{place}。",
            "{who}坐在{place}。",
        ),
        "go": (
            "{who}去了{place}。",
            "{who}走到{place}。",
            "{who}跑到{place}。",
            "{who}来到{place}。",
            "然后{who}去了{place}。",
            "后来{who}去了{place}。",
        ),
        "has": (
            "{who}有{a_thing}。",
            "{who}拿着{a_thing}。",
            "{who}找到了{a_thing}。",
            "{who}买了{a_thing}。",
        ),
        "give": (
            "{who}把{thing}给了{other}。",
            "{who}把{thing}交给{other}。",
            "{who}把{thing}送给{other}。",
            "然后{who}把{thing}给了{other}。",
            "{other}从{giver}那里拿到了{thing}。",
        ),
        "lie": ("{place}有{a_thing}。", "{place}放着{a_thing}。"),
        "leave": ("{who}把{thing}留在{place}。", "{who}把{thing}放在{place}。"),
        "take": ("{who}拿走了{thing}。", "{who}捡起了{thing}。", "然后{who}拿走了{thing}。"),
    },
}

PRONOUN_SHARE = 0.25


def narrate(story: Story, language: str, rng: Random) -> str:
    """The story as text, a sentence for each event."""
    sentences = []
    previous = None
    for event in story.events:
        pronoun = _repeats_subject(event, previous) and rng.random() < PRONOUN_SHARE
        sentences.append(_sentence(event, story.looks, language, pronoun, rng))
        previous = event
    return join_sentences(sentences, language)


def join_sentences(sentences: list[str], language: str) -> str:
    """English puts a space between sentences, Chinese none."""
    return (" " if language == "en" else "").join(sentences)


def with_look(thing: Thing, look: Look, language: str) -> str:
    """ "red ball", 红色的球."""
    return f"{look.en} {thing.en}" if language == "en" else f"{look.zh}的{thing.zh}"


def _repeats_subject(event: Event, previous: Event | None) -> bool:
    """True if a pronoun can only mean the one person of the sentence before."""
    return previous is not None and previous.person is event.person and previous.other is None


def _sentence(
    event: Event, looks: dict[Thing, Look], language: str, pronoun: bool, rng: Random
) -> str:
    form = rng.choice(SENTENCES[language][event.kind])
    words = {}
    if event.person:
        name = event.person.in_language(language)
        words["who"] = _pronoun(event.person, language) if pronoun else name
        words["giver"] = name
    if event.thing:
        thing = with_look(event.thing, looks[event.thing], language)
        words["thing"] = thing
        words["a_thing"] = _one(event.thing, thing, language)
    if event.place:
        words["place"] = event.place.in_language(language)
    if event.other:
        words["other"] = event.other.in_language(language)
    text = form.format(**words)
    return text[0].upper() + text[1:]


def _pronoun(person: Person, language: str) -> str:
    if language == "en":
        return "she" if person.female else "he"
    return "她" if person.female else "他"


def _one(thing: Thing, phrase: str, language: str) -> str:
    """ "a red ball", "an old book"; 一个红色的球, 一本旧的书."""
    if language == "zh":
        return f"一{thing.measure}{phrase}"
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"
