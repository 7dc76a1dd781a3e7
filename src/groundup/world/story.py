"""What happens in a story: a small world whose state is changed by events.

Laws of the world: a person is in one place, a thing is held by one person or lies in one place;
a thing goes where its holder goes; only people in the same place hand things over. A person's
place may be untold. The story never contains a fact that is not `allowed`, not even for a moment.
"""

from dataclasses import dataclass, field
from random import Random

from groundup.world.held_out import Allowed
from groundup.world.words import LOOKS, PEOPLE, PLACES, THINGS, Look, Person, Thing, Word


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens. `kind` decides which of the other fields are set.

    is, go: person, place; has, take: person, thing; give: person, thing, other;
    lie: thing, place; leave: person, thing, place.
    """

    kind: str
    person: Person | None = None
    thing: Thing | None = None
    place: Word | None = None
    other: Person | None = None


@dataclass(slots=True)
class Story:
    """The events so far and, from them, who has been where and who has held what.

    `visits[p]` are the places of a person in order, the last one is where the person is now;
    `keepers[t]` are the holders of a thing in order, and the places where it lay; the last one
    keeps it now. `handlings[p]` counts how often something came into or left a person's hands.
    """

    people: list[Person]
    things: list[Thing]
    places: list[Word]
    looks: dict[Thing, Look]
    events: list[Event] = field(default_factory=list)
    visits: dict[Person, list[Word]] = field(default_factory=dict)
    keepers: dict[Thing, list[Word]] = field(default_factory=dict)
    handlings: dict[Person, int] = field(default_factory=dict)

    def place_of(self, person: Person) -> Word | None:
        """Where the person is now, or None if the story has not told."""
        visits = self.visits.get(person)
        return visits[-1] if visits else None

    def held_by(self, person: Person) -> list[Thing]:
        """The things in the person's hands now."""
        return [thing for thing, keepers in self.keepers.items() if keepers[-1] is person]

    def tell(self, event: Event) -> None:
        """Let the event happen."""
        self.events.append(event)
        match event:
            case Event("is" | "go", person=Person() as who, place=Word() as place):
                self.visits.setdefault(who, []).append(place)
            case Event("has" | "take", person=Person() as who, thing=Thing() as thing):
                self._hand(thing, who)
            case Event("give", Person() as giver, Thing() as thing, other=Person() as taker):
                self._let_go(giver)
                self._hand(thing, taker)
            case Event("leave", Person() as who, Thing() as thing, Word() as place):
                self._let_go(who)
                self.keepers[thing].append(place)
            case Event("lie", thing=Thing() as thing, place=Word() as place):
                self.keepers[thing] = [place]

    def _hand(self, thing: Thing, person: Person) -> None:
        self.keepers.setdefault(thing, []).append(person)
        self.handlings[person] = self.handlings.get(person, 0) + 1

    def _let_go(self, person: Person) -> None:
        self.handlings[person] += 1


def make_story(rng: Random, n_events: int, allowed: Allowed) -> Story:
    """A story of `n_events` events among a few people, things and places drawn by `rng`."""
    while True:
        story = _empty_story(rng, n_events, allowed)
        # A cast can be such that little is allowed to happen: then another one is drawn.
        for _ in range(20 * n_events):
            event = rng.choice(PROPOSALS)(story, rng, allowed)
            if event is not None:
                story.tell(event)
            if len(story.events) == n_events:
                return story


def _empty_story(rng: Random, n_events: int, allowed: Allowed) -> Story:
    """A cast that grows with the length, so that a short story still says something of each."""
    most = 2 + n_events // 3
    people = rng.sample(PEOPLE, rng.randint(2, min(4, most)))
    places = rng.sample(PLACES, rng.randint(2, min(4, most)))
    things = rng.sample(THINGS, rng.randint(2, min(3, most)))
    return Story(people, things, places, {thing: _look(thing, rng, allowed) for thing in things})


def _look(thing: Thing, rng: Random, allowed: Allowed) -> Look:
    while True:
        look = rng.choice(LOOKS)
        if allowed(("looks", look.en, thing.en)):
            return look


# Each proposal draws one event of its kind, or None if the laws or `allowed` forbid it.


def _propose_place(story: Story, rng: Random, allowed: Allowed) -> Event | None:
    """Somebody is somewhere ("is", only while untold) or goes there with all that they hold."""
    person, place = rng.choice(story.people), rng.choice(story.places)
    now = story.place_of(person)
    if now is place or not allowed(("is in", person.en, place.en)):
        return None
    if not all(allowed(("lies in", thing.en, place.en)) for thing in story.held_by(person)):
        return None
    kind = "is" if now is None and rng.random() < 0.7 else "go"
    return Event(kind, person, place=place)


def _propose_move(story: Story, rng: Random, allowed: Allowed) -> Event | None:
    """Somebody whose place is known goes elsewhere."""
    return _propose_place(story, rng, allowed) if story.visits else None


def _propose_thing(story: Story, rng: Random, allowed: Allowed) -> Event | None:
    """A thing enters the story: somebody has it, or it lies somewhere."""
    thing = rng.choice(story.things)
    if thing in story.keepers:
        return None
    if rng.random() < 0.25:
        place = rng.choice(story.places)
        is_free = allowed(("lies in", thing.en, place.en))
        return Event("lie", thing=thing, place=place) if is_free else None
    person = rng.choice(story.people)
    return Event("has", person, thing) if _may_hold(story, person, thing, allowed) else None


def _propose_gift(story: Story, rng: Random, allowed: Allowed) -> Event | None:
    """A thing passes from its holder to somebody in the same place."""
    thing, other = rng.choice(story.things), rng.choice(story.people)
    person = story.keepers[thing][-1] if thing in story.keepers else None
    if not isinstance(person, Person) or person is other:
        return None
    if story.place_of(person) is not story.place_of(other):
        return None
    if not _may_hold(story, other, thing, allowed):
        return None
    return Event("give", person, thing, other=other)


def _propose_pick_up_or_leave(story: Story, rng: Random, allowed: Allowed) -> Event | None:
    """A thing that lies where somebody is, is taken; a held thing is left where its holder is."""
    thing = rng.choice(story.things)
    if thing not in story.keepers:
        return None
    keeper = story.keepers[thing][-1]
    if isinstance(keeper, Person):
        place = story.place_of(keeper)
        return Event("leave", keeper, thing, place) if place else None
    person = rng.choice(story.people)
    if story.place_of(person) is not keeper or not _may_hold(story, person, thing, allowed):
        return None
    return Event("take", person, thing)


def _may_hold(story: Story, person: Person, thing: Thing, allowed: Allowed) -> bool:
    place = story.place_of(person)
    return allowed(("has", person.en, thing.en)) and (
        place is None or allowed(("lies in", thing.en, place.en))
    )


# Written as often as it should be drawn.
PROPOSALS = (
    _propose_place,
    _propose_place,
    _propose_move,
    _propose_thing,
    _propose_thing,
    _propose_gift,
    _propose_gift,
    _propose_pick_up_or_leave,
)
