"""Every marked text has its twin in every language, and every twin its text."""

import string
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir

from groundup.language import LANGUAGES, LOCALE, catalogue, pick_language, translate

SOURCE = Path(__file__).parents[1] / "src" / "groundup"
OTHERS = [language for language in LANGUAGES if language != "en"]


@pytest.fixture(scope="module")
def marked() -> set[str]:
    """All texts marked in the source."""
    found = extract_from_dir(SOURCE, [("**.py", "python")], keywords={"N_": None})
    return {text for _, _, text, _, _ in found}


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_has_its_twin_and_no_twin_is_left_over(language: str, marked: set[str]):
    # A text that was changed is another text: its old twin is left over, and it has none.
    assert marked - catalogue(language).keys() == set()
    assert catalogue(language).keys() - marked == set()


@pytest.mark.parametrize("language", OTHERS)
def test_a_twin_has_the_fields_of_its_text(language: str):
    for text, twin in catalogue(language).items():
        try:
            fields = {name for _, name, _, _ in string.Formatter().parse(text)}
        except ValueError:
            continue  # braces that are no fields: the text is shown as it stands
        assert fields == {name for _, name, _, _ in string.Formatter().parse(twin)}, text


@pytest.mark.parametrize("language", OTHERS)
def test_no_text_stands_in_two_catalogues(language: str):
    texts = [
        entry.split("\nmsgstr")[0]
        for path in (LOCALE / language).glob("*.po")
        for entry in path.read_text(encoding="utf-8").split("\n\n")[1:]  # the first is the head
    ]
    assert len(texts) == len(set(texts))


def test_the_language_is_the_one_asked_for_or_the_users(monkeypatch: pytest.MonkeyPatch):
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert pick_language() == "zh"
    assert pick_language("en") == "en"
    monkeypatch.setenv("LANG", "fr_FR.UTF-8")
    assert pick_language() == "en"


def test_what_has_no_twin_is_shown_in_english():
    assert translate("no such text", "zh") == "no such text"
