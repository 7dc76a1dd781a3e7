"""The step about languages, and the function that tells them."""

import re
from functools import cache
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, field_validator

from groundup.cleaning.step import FilterStep

# The beginning is enough: more text changes the answer hardly ever, and costs time.
SAMPLE_CHARACTERS = 2000
# Of 5,574 short messages in broken English, 2 are taken for another language at this confidence, 20
# at 0.5.
CONFIDENCE = 0.7
UNKNOWN = "und"  # ISO 639-2: undetermined
MIXED = "mixed"


class Language(FilterStep):
    """Keep documents in some languages, as told by their beginnings. What cannot be told, because it
    is short or in doubt, stays."""

    step: Literal["language"] = "language"
    keep: list[str] = ["en", "zh"]
    """ISO 639-1 codes. "mixed" is Chinese with much of another script; it also stays if both "en" and
    "zh" do."""
    confidence: float = Field(default=CONFIDENCE, ge=0.0, le=1.0)
    """How sure the answer must be to leave a document out, 1 being certain."""
    fewest: NonNegativeInt = 50
    """Letters that a document must have to be judged; a Chinese character counts as three."""

    @field_validator("keep")
    @classmethod
    def _known(cls, keep: list[str]) -> list[str]:
        known = [*_identifier().labels, MIXED]
        for language in keep:
            if language not in known:
                raise ValueError(f"{language!r} is no known ISO 639-1 code such as en or zh")
        return keep

    def keeps(self, text: str) -> bool:
        language = language_of(text, self.confidence, self.fewest)
        both = language == MIXED and {"en", "zh"} <= set(self.keep)
        return language == UNKNOWN or language in self.keep or both


def language_of(text: str, confidence: float = CONFIDENCE, fewest: int = 5) -> str:
    """The language of a text by its beginning: an ISO 639-1 code, "mixed" for Chinese together with
    much of another script, or "und" if it has fewer than `fewest` letters or the answer is less
    sure than `confidence`.

    Chinese is told by its script, which holds for the shortest texts, and plain English by its most
    frequent words, which is ten times as fast as what tells everything else: langid's naive Bayes
    over byte n-grams (Lui and Baldwin 2012).
    """
    sample = text[:SAMPLE_CHARACTERS]
    han = 0 if sample.isascii() else _length(_HAN, sample)
    other = _length(_OTHER_LETTERS, sample)
    letters = _LETTERS_OF_A_HAN * han + other
    if letters < fewest:
        return UNKNOWN
    if han > 10 * _length(_KANA_OR_HANGUL, sample):
        if other <= 0.3 * letters:
            return "zh"
        if other <= 0.7 * letters:
            return MIXED
    if _is_plain_english(sample):
        return "en"
    language, sure = _identifier().classify(sample)
    return language if sure >= confidence else UNKNOWN


# An English word has about five letters, a Chinese one somewhat less than two characters.
_LETTERS_OF_A_HAN = 3
_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff]+")
_KANA_OR_HANGUL = re.compile("[\u3041-\u3096\u30a1-\u30fa\uac00-\ud7a3]+")
_OTHER_LETTERS = re.compile(r"[^\W\d_\u3400-\u9fff\uf900-\ufaff]+")
# Every sixth word of English text is one of these; of another language's, hardly any.
_ENGLISH = frozenset(
    (
        "the",
        "of",
        "and",
        "to",
        "that",
        "with",
        "you",
        "this",
        "from",
        "have",
        "which",
        "his",
        "they",
    )
)


def _is_plain_english(sample: str) -> bool:
    words = sample.lower().split()
    frequent = sum(word in _ENGLISH for word in words)
    return frequent >= 3 and frequent > 0.1 * len(words)


def _length(runs: re.Pattern[str], text: str) -> int:
    return sum(map(len, runs.findall(text)))


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
