"""What a question is, and the forms that its answer takes."""

from dataclasses import dataclass

from groundup.world.held_out import Fact

LEVELS = {"find": 1, "last": 2, "join": 3}
"""1: one fact to find again; 2: the last of several changes of state; 3: two facts to join."""

TASKS = (*LEVELS, "summary", "order", "arithmetic", "opposite", "copy", "translate")


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its one exact answer.

    `candidates` are the answers of the right kind (for a question about a story: the people,
    places or things that the story names); they include the answer, and the others are wrong.
    `facts` are what must be known to answer; a question belongs to the exam if all are held out.
    """

    task: str
    language: str
    story: str
    question: str
    answer: str
    candidates: tuple[str, ...]
    facts: tuple[Fact, ...]

    @property
    def level(self) -> int | None:
        """1, 2 or 3 for a question about the state of a story, else None."""
        return LEVELS.get(self.task)

    @property
    def chance(self) -> float:
        """How often somebody is right who picks a candidate blindly."""
        return 1 / len(self.candidates)

    @property
    def prompt(self) -> str:
        """What the user says: the story, if there is one, and the question."""
        gap = " " if self.story and self.language == "en" else ""
        return f"{self.story}{gap}{self.question}"
