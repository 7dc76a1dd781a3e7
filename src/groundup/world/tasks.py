"""Questions without a story: arithmetic, opposites, order, copying, translation.

Each function draws one `Question`; `allowed` decides, by its fact, whether it may be asked.
"""

from random import Random

from groundup.world.held_out import Allowed, Fact
from groundup.world.question import Question
from groundup.world.words import ANIMALS_BY_SIZE, COLOURS, DAYS, MONTHS, NOUNS, OPPOSITES

WORDINGS = {
    "en": {
        "+": ("What is {0} + {1}?", "{0} + {1} = ?", "How much is {0} + {1}?"),
        "-": ("What is {0} - {1}?", "{0} - {1} = ?", "How much is {0} - {1}?"),
        "opposite": ("What is the opposite of {0}?", "What is the contrary of {0}?"),
        "after": ("What comes after {0}?", "What follows {0}?"),
        "before": ("What comes before {0}?",),
        "larger": ("Which is larger, the {0} or the {1}?",),
        "smaller": ("Which is smaller, the {0} or the {1}?",),
        "copy": ("Repeat: {0}.", "Say again: {0}.", "Copy these words: {0}."),
        "backwards": ("Say backwards: {0}.",),
        "translate": ("What is {0} in English?", "Translate {0} into English."),
    },
    "zh": {
        "+": ("{0} + {1} 等于多少？", "{0} + {1} = ?", "{0} 加 {1} 是多少？"),
        "-": ("{0} - {1} 等于多少？", "{0} - {1} = ?", "{0} 减 {1} 是多少？"),
        "opposite": ("{0}的反义词是什么？", "{0}的相反是什么？"),
        "after": ("{0}之后是什么？", "{0}的下一个是什么？"),
        "before": ("{0}之前是什么？",),
        "larger": ("{0}和{1}，哪个更大？",),
        "smaller": ("{0}和{1}，哪个更小？",),
        "copy": ("请重复：{0}。", "再说一遍：{0}。", "请抄写：{0}。"),
        "backwards": ("请倒着说：{0}。",),
        "translate": (" {0} 用中文怎么说？", "把 {0} 翻译成中文。"),
    },
}


def arithmetic(rng: Random, language: str, allowed: Allowed) -> Question:
    """Sums and differences of numbers up to two digits."""
    while True:
        a, b, operation = rng.randint(0, 99), rng.randint(0, 99), rng.choice("+-")
        if operation == "-":
            a, b = max(a, b), min(a, b)
        fact = (operation, str(a), str(b))
        if allowed(fact):
            break
    result = a + b if operation == "+" else a - b
    largest = 198 if operation == "+" else 99
    guesses = [str(n) for n in range(largest + 1)]
    answer = str(result)
    return _ask(rng, "arithmetic", language, operation, (str(a), str(b)), answer, guesses, fact)


def opposite(rng: Random, language: str, allowed: Allowed) -> Question:
    """The opposite of a word; a pair may be held out in one direction."""
    words = [*OPPOSITES, *((second, first) for first, second in OPPOSITES)]
    may_ask = [pair for pair in words if allowed(("opposite", pair[0].en, pair[1].en))]
    word, other = rng.choice(may_ask)
    guesses = [pair[1].in_language(language) for pair in words]
    asked, answer = word.in_language(language), other.in_language(language)
    fact = ("opposite", word.en, other.en)
    return _ask(rng, "opposite", language, "opposite", (asked,), answer, guesses, fact)


def order(rng: Random, language: str, allowed: Allowed) -> Question:
    """What comes before or after in a row, and which of two animals is larger."""
    return (
        _neighbour(rng, language, allowed) if rng.random() < 0.5 else _size(rng, language, allowed)
    )


def _neighbour(rng: Random, language: str, allowed: Allowed) -> Question:
    asked = [
        (form, word, row[(i + step) % len(row)], row)
        for row in (DAYS, MONTHS)
        for form, step in (("after", 1), ("before", -1))
        for i, word in enumerate(row)
    ]
    form, word, answer, row = rng.choice([q for q in asked if allowed((q[0], q[1].en, q[2].en))])
    names = [neighbour.in_language(language) for neighbour in row]
    return _ask(
        rng, "order", language, form, (word.in_language(language),), answer.in_language(language),
        names, (form, word.en, answer.en),
    )  # fmt: skip


def _size(rng: Random, language: str, allowed: Allowed) -> Question:
    while True:
        pair = rng.sample(ANIMALS_BY_SIZE, 2)
        form, pick = rng.choice((("larger", max), ("smaller", min)))
        fact = (form, pair[0].en, pair[1].en)
        if allowed(fact):
            break
    article = "the " if language == "en" else ""
    answer = pick(pair, key=ANIMALS_BY_SIZE.index).in_language(language)
    names = [word.in_language(language) for word in pair]
    said = [article + name for name in names]
    return _ask(rng, "order", language, form, tuple(names), article + answer, said, fact)


def copy(rng: Random, language: str, allowed: Allowed) -> Question:
    """Say two to five words again, in their order or backwards."""
    while True:
        words = rng.sample(NOUNS, rng.randint(2, 5))
        fact = ("copy", words[0].en, words[1].en)
        if allowed(fact):
            break
    said = [word.in_language(language) for word in words]
    comma = ", " if language == "en" else "，"
    form, answer = rng.choice((("copy", said), ("backwards", said[::-1])))
    guesses = [comma.join(said), comma.join(said[::-1])]
    return _ask(rng, "copy", language, form, (guesses[0],), comma.join(answer), guesses, fact)


def translate(rng: Random, language: str, allowed: Allowed) -> Question:
    """A thing with its colour, from the other language into this one."""
    while True:
        look, noun = rng.choice(COLOURS), rng.choice(NOUNS)
        fact = ("translate", look.en, noun.en)
        if allowed(fact):
            break
    english = [f"the {look.en} {word.en}" for word in NOUNS]
    chinese = [f"{look.zh}的{word.zh}" for word in NOUNS]
    source, target = (chinese, english) if language == "en" else (english, chinese)
    place = NOUNS.index(noun)
    return _ask(
        rng, "translate", language, "translate", (source[place],), target[place], target, fact
    )


TASK_MAKERS = {
    "arithmetic": arithmetic,
    "opposite": opposite,
    "order": order,
    "copy": copy,
    "translate": translate,
}


def _ask(
    rng: Random,
    task: str,
    language: str,
    form: str,
    about: tuple[str, ...],
    answer: str,
    guesses: list[str],
    fact: Fact,
) -> Question:
    """The question in words, its answers as sentences."""
    question = rng.choice(WORDINGS[language][form]).format(*about)
    candidates = tuple(dict.fromkeys(_sentence(guess, language) for guess in guesses))
    answer = _sentence(answer, language)
    return Question(task, language, "", question.strip(), answer, candidates, (fact,))


def _sentence(words: str, language: str) -> str:
    return f"It is {words}." if language == "en" else f"是{words}。"
