"""The reader's language: English as it stands in the code, and what the catalogues translate it to.

The translations are gettext catalogues, one file for each part of groundup: `locale/zh/*.po`. There are two
ways from a text to its twin:

`translate` takes the text as it is written, with `{fields}`, and what to fill in: for texts that are kept
apart from what they are about, as those of the lab are. `N_` marks them where they are written.

`shown` takes a text that is filled in already, and finds out which one it is: an error is raised, and a line
of progress is written, as the plain f-string that it is, and nothing but what prints it knows of languages.
In the catalogues its fields have numbers: `f"there is no such {kind}"` is "there is no such {0}".
"""

import locale
import os
import re
import string
from functools import cache
from pathlib import Path
from typing import NamedTuple

from groundup.errors import unknown

LOCALE = Path(__file__).parent / "locale"
LANGUAGES = ("en", *sorted(path.name for path in LOCALE.iterdir() if path.is_dir()))
# A place in a file, before what is said of it: "rows.jsonl:7: ".
PLACE = re.compile(r"\S+:\d+: ")
# What stands between texts that are told in one line.
BETWEEN = "; "
_asked: list[str] = []


def N_(text: str) -> str:  # noqa: N802 (gettext's own name for it)
    """Marks a text for translation, and leaves it as it is."""
    return text


def translate(text: str, language: str, **fields: object) -> str:
    """`text` in a language, with its fields filled in; in English where the catalogues have none."""
    translated = catalogue(language).get(text) or text
    return translated.format(**fields) if fields else translated


def shown(text: str) -> str:
    """A text as this process shows it: in the language that `use_language` set, or the user's own. Where
    the catalogues have nothing like it, as it is."""
    language = pick_language()
    return text if language == "en" else in_language(text, language)


def asked_language() -> str | None:
    """What `use_language` set, if it did."""
    return _asked[0] if _asked else None


def in_language(text: str, language: str) -> str:
    """A filled-in text in a language. What its fields were filled with is looked up as well; of several
    texts that it could be, it is the one that says most of it itself. Texts in a row, and
    lines that are no text together, are looked up one by one."""
    core = text.strip()
    if not core:
        return text
    before, after = text[: text.index(core)], text[text.index(core) + len(core) :]
    return before + _twin(core, language) + after


def _twin(text: str, language: str) -> str:
    if text in catalogue(language):
        return catalogue(language)[text]
    fitting = [
        (template, found) for template in templates(language)
        if all(piece in text for piece in template.pieces) and (found := template.match(text))
    ]  # fmt: skip
    whole = [(t, found) for t, found in fitting if not any(BETWEEN in f for f in found.values())]
    if BETWEEN in text and not whole:
        given = text.split(BETWEEN)
        parts = [in_language(part, language) for part in given]
        if all(part != twin for part, twin in zip(given, parts, strict=True)):
            return BETWEEN.join(parts)
    for template, found in whole or fitting:
        fields = {name: in_language(given, language) for name, given in found.items()}
        return _fill(template.twin, fields)
    if place := PLACE.match(text):
        return place[0] + in_language(text[place.end() :], language)
    if "\n" in text:
        return "\n".join(in_language(line, language) for line in text.split("\n"))
    return text


class Template(NamedTuple):
    """A text with fields, and its twin."""

    pieces: tuple[str, ...]
    """What stands before, between and after the fields."""
    fields: tuple[str, ...]
    twin: str

    def match(self, text: str) -> dict[str, str] | None:
        """What the fields are filled with in `text`, if it is this one."""
        pattern = "(.*?)".join(map(re.escape, self.pieces))
        found = re.fullmatch(pattern, text, re.DOTALL)
        return dict(zip(self.fields, found.groups(), strict=True)) if found else None


@cache
def templates(language: str) -> list[Template]:
    """All texts of a language's catalogue that have fields; first those that say most themselves."""
    found = []
    for text, twin in catalogue(language).items():
        if fields := fields_of(text):
            pieces = tuple(literal for literal, *_ in string.Formatter().parse(text))
            closed = (*pieces, "") if len(pieces) == len(fields) else pieces
            found.append(Template(closed, tuple(fields), twin))
    return sorted(found, key=lambda template: -sum(map(len, template.pieces)))


def fields_of(text: str) -> list[str]:
    """The names of the fields of a text; none where its braces are something else."""
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
    except ValueError:
        return []
    return names if all(map(str.isidentifier, (f"_{name}" for name in names))) else []


def _fill(twin: str, fields: dict[str, str]) -> str:
    """`str.format` counts positions where names are numbers; these are names."""
    return "".join(
        literal + ("" if name is None else fields[name])
        for literal, name, _, _ in string.Formatter().parse(twin)
    )


@cache
def catalogue(language: str) -> dict[str, str]:
    """All translated texts of a language by the English ones."""
    from babel.messages.pofile import read_po  # a tenth of a second that English need not wait for

    translated: dict[str, str] = {}
    for path in sorted((LOCALE / language).glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file, locale=language, abort_invalid=True):
                if message.id and not message.fuzzy:
                    translated[str(message.id)] = str(message.string)
    return translated


def use_language(name: str) -> None:
    """From now on this process shows its texts in this language."""
    _asked[:] = [pick_language(name)]


def pick_language(given: str | None = None) -> str:
    """The language that is asked for, here or by `use_language`; otherwise the user's own, if there is a
    catalogue of it."""
    if given is not None:
        if given not in LANGUAGES:
            raise unknown("language", given, LANGUAGES, "--lang")
        return given
    if asked := asked_language():
        return asked
    wanted = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), None)
    own = (wanted or locale.getlocale()[0] or "en")[:2].lower()
    return own if own in LANGUAGES else "en"
