"""The reader's language: English as it stands in the code, and what the catalogues translate it to.

A text that is shown is marked with `N_` where it is written, and translated where it is shown. The
translations are gettext catalogues, one file for each part of groundup: `locale/zh/*.po`.
"""

import locale
import os
from functools import cache
from pathlib import Path

from groundup.errors import unknown

LOCALE = Path(__file__).parent / "locale"
LANGUAGES = ("en", *sorted(path.name for path in LOCALE.iterdir() if path.is_dir()))


def N_(text: str) -> str:  # noqa: N802 (gettext's own name for it)
    """Marks a text for translation, and leaves it as it is."""
    return text


def translate(text: str, language: str, **fields: object) -> str:
    """`text` in a language, with its fields filled in; in English where the catalogues have none."""
    translated = catalogue(language).get(text) or text
    return translated.format(**fields) if fields else translated


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


def pick_language(given: str | None = None) -> str:
    """The language that was asked for; otherwise the user's own, if there is a catalogue of it."""
    if given is not None:
        if given not in LANGUAGES:
            raise unknown("language", given, LANGUAGES, "--lang")
        return given
    wanted = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), None)
    own = (wanted or locale.getlocale()[0] or "en")[:2].lower()
    return own if own in LANGUAGES else "en"
