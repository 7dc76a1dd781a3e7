"""The step about personal data, and the function that finds it.

A number is taken for personal only where its form, and its check digits if it has any, say so: most
long numbers in a text are dates, prices, orders, articles of law or decimals. Digits must be ASCII:
the step `width` before this one makes them so.
"""

import datetime
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from pydantic import field_validator

from groundup.cleaning.step import TextStep

Kind = Literal["id", "iban", "card", "email", "phone"]
KINDS: tuple[Kind, ...] = ("id", "iban", "card", "email", "phone")
REGIONS = ("CN", "US", "GB")


class Personal(TextStep):
    """Mask personal data, or leave out the texts that have any.

    Of a long document, which comes in pieces, only the piece is left out. What is found is told at
    `find_personal`.
    """

    step: Literal["personal"] = "personal"
    mode: Literal["mask", "drop"] = "mask"
    """`mask` writes [PHONE], [ID], [EMAIL], [CARD], [IBAN] in its place; `drop` leaves the text out."""
    kinds: list[Kind] = list(KINDS)
    """What to look for."""
    regions: list[str] = list(REGIONS)
    """Countries (ISO 3166) whose phone numbers are known without their +country code."""

    @field_validator("regions")
    @classmethod
    def _known(cls, regions: list[str]) -> list[str]:
        from phonenumbers import SUPPORTED_REGIONS

        for region in regions:
            if region not in SUPPORTED_REGIONS:
                raise ValueError(f"{region!r} is no ISO 3166 code such as CN, US or GB")
        return regions

    def clean(self, text: str) -> str | None:
        found = find_personal(text, self.kinds, self.regions)
        if not found:
            return text
        if self.mode == "drop":
            return None
        spans = [(one.start, one.end) for one in found]
        return _replaced(text, spans, [f"[{one.kind.upper()}]" for one in found])


@dataclass(frozen=True, slots=True)
class Found:
    """Personal data in a text: its kind, and `text[start:end]`."""

    kind: Kind
    start: int
    end: int
    text: str


def find_personal(
    text: str, kinds: Iterable[Kind] = KINDS, regions: Iterable[str] = REGIONS
) -> list[Found]:
    """The personal data in `text`, in order and without overlap.

    `id`: Chinese identity-card numbers (GB 11643) with their check digit and a birth date that can
    be; `iban`: bank accounts (ISO 13616) with theirs; `card`: bank cards, 13 to 19 digits as the card
    networks give them out, by Luhn's check digit; `email`: addresses; `phone`: Chinese mobile
    numbers, international numbers with +, and numbers of the `regions` written in groups or from
    their leading 0, as phonenumbers knows them. Bare digits without + or 0 are no phone number.
    """
    kinds, regions = set(kinds), tuple(regions)
    found: list[Found] = []
    for kind in KINDS:  # in the order of certainty; what one has found, the next does not see
        if kind in kinds and _HINTS[kind](text):
            spans = sorted(_phones(text, regions) if kind == "phone" else _FINDERS[kind](text))
            found += [Found(kind, start, end, text[start:end]) for start, end in spans]
            text = _hidden(text, spans)
    return sorted(found, key=lambda one: one.start)


Span = tuple[int, int]


def _replaced(text: str, spans: list[Span], replacements: Iterable[str]) -> str:
    starts = [0, *(end for _, end in spans)]
    ends = [*(start for start, _ in spans), len(text)]
    kept = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    return "".join(chain.from_iterable(zip(kept, [*replacements, ""], strict=True)))


def _hidden(text: str, spans: list[Span]) -> str:
    """The text with NULs in place of the spans, which leaves the rest where it is."""
    return _replaced(text, spans, ["\0" * (end - start) for start, end in spans])


# A number stands alone: no letter or digit at its sides, and it is no part of a longer number such
# as a decimal (3.1415…), a price (1,000,…) or a chain (1-2-3). Han characters may touch it.
_BEFORE = r"(?<![0-9A-Za-z_])(?<![0-9][.,:/-])"
_AFTER = r"(?![0-9A-Za-z_])(?![.,:/-][0-9])"


def _valid(pattern: re.Pattern[str], text: str, valid: Callable[[str], bool]) -> Iterator[Span]:
    """Where `pattern` matches and the match, or else a beginning of it that ends before a space, is
    `valid`: matches run on into numbers that follow."""
    for match in pattern.finditer(text):
        candidate = match[0]
        while candidate and not valid(candidate):
            candidate = candidate.rpartition(" ")[0].rstrip(" (-")
        if candidate:
            yield match.start(), match.start() + len(candidate)


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


# --- identity cards -----------------------------------------------------------------------------

_ID = re.compile(_BEFORE + r"[1-9][0-9]{5} ?(?:19|20)[0-9]{6} ?[0-9]{3}[0-9Xx]" + _AFTER)


def _ids(text: str) -> Iterator[Span]:
    return (match.span() for match in _ID.finditer(text) if _is_id(match[0]))


def _is_id(candidate: str) -> bool:
    # Not ric.validate: it also looks up the county, and counties are founded and dissolved.
    from stdnum.cn import ric
    from stdnum.exceptions import ValidationError

    number = ric.compact(candidate)
    try:
        born = ric.get_birth_date(number)
    except ValidationError:
        return False
    return born <= datetime.date.today() and number[-1] == ric.calc_check_digit(number)


# --- bank accounts and cards --------------------------------------------------------------------

_IBAN = re.compile(_BEFORE + r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?" + _AFTER)


def _ibans(text: str) -> Iterator[Span]:
    from stdnum import iban

    return _valid(_IBAN, text, iban.is_valid)


# In one run, in fours, as American Express (4-6-5), or as UnionPay (6-13).
_CARD = re.compile(
    _BEFORE + r"(?:[0-9]{13,19}|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1?[0-9]{1,3})?"
    r"|3[47][0-9]{2}([ -])[0-9]{6}\2[0-9]{5}|62[0-9]{4} [0-9]{13})" + _AFTER
)
# First digits and lengths by network (ISO/IEC 7812): a clock's milliseconds, a barcode (ISBN 978…,
# China 69…) or an order number has others.
_NETWORK = re.compile(
    r"4[0-9]{12}(?:[0-9]{3}){0,2}|(?:5[1-5]|2[2-7]|35|6[0258])[0-9]{14}|3[47][0-9]{13}"
    r"|3[0689][0-9]{12}|62[0-9]{15,17}|(?:5[0-9]|6[0-9])[0-9]{17}|9558[0-9]{12}(?:[0-9]{3})?"
)
_HAS_BIRTH_DATE = re.compile(r"[0-9]{6}(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])[0-3][0-9]{5}")


def _cards(text: str) -> Iterator[Span]:
    return _valid(_CARD, text, _is_card)


def _is_card(candidate: str) -> bool:
    from stdnum import luhn

    number = _digits(candidate)
    # With 18 digits and a birth date it is an identity-card number whose check digit is wrong.
    if not _NETWORK.fullmatch(number) or _HAS_BIRTH_DATE.fullmatch(number):
        return False
    return luhn.is_valid(number)


# --- e-mail -------------------------------------------------------------------------------------

# icon@2x.png is a file, not a person.
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+@/-])[A-Za-z0-9](?:[A-Za-z0-9._%+-]{0,62}[A-Za-z0-9_+-])?"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.)+"
    r"(?!(?:png|jpe?g|gif|svg|webp|js|css)\b)[A-Za-z]{2,24}(?![A-Za-z0-9@_])",
    re.ASCII,
)


def _emails(text: str) -> Iterator[Span]:
    return (match.span() for match in _EMAIL.finditer(text))


# --- phones -------------------------------------------------------------------------------------

_BEFORE_PHONE = _BEFORE + "(?<![=#&/])"  # not in an address of the web
_CHINESE_MOBILE = re.compile(
    _BEFORE_PHONE
    + r"(?:(?:\+|00)?86[ -]?)?1[3-9][0-9](?:[0-9]{8}|([ -])[0-9]{4}\1[0-9]{4})"
    + _AFTER
)
# With + or a leading 0; else in groups, of which the last tell it from the thousands of a number.
_PHONE = re.compile(
    _BEFORE_PHONE + r"(?:(?:\+|\(?0)[0-9]*(?:[ ()-]{1,2}[0-9]+){0,5}"
    r"|\(?[2-9][0-9]{2}\)?[ -](?:[0-9]{3}[ -][0-9]{4}|[0-9]{4}[ -][0-9]{3})"
    r"|[0-9]{3}\.[0-9]{3}\.[0-9]{4})" + _AFTER
)
_DATE = re.compile(
    r"(?:19|20)[0-9]{2}[-. ][01]?[0-9][-. ][0-3]?[0-9]|[0-3]?[0-9][-. ][0-3]?[0-9][-. ](?:19|20)[0-9]{2}"
)
_EXTENSION = re.compile(r"(?<=[0-9]{7})-[0-9]{1,4}\Z")
_BOOK_NUMBER = re.compile(r"IS[BS]N[^0-9]{0,5}\Z", re.IGNORECASE)


def _phones(text: str, regions: tuple[str, ...]) -> Iterator[Span]:
    if "CN" in regions:
        mobiles = [match.span() for match in _CHINESE_MOBILE.finditer(text)]
        yield from mobiles
        text = _hidden(text, mobiles)
    for start, end in _valid(_PHONE, text, lambda number: _is_phone(number, regions)):
        if not _BOOK_NUMBER.search(text, max(0, start - 10), start):
            yield start, end


def _is_phone(candidate: str, regions: tuple[str, ...]) -> bool:
    import phonenumbers

    if not 8 <= len(_digits(candidate)) <= 16 or _DATE.match(candidate):
        return False
    candidate = _EXTENSION.sub("", candidate)
    for region in (None,) if candidate.startswith("+") else regions:
        try:
            number = phonenumbers.parse(candidate, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            return True
    return False


# --- which finder, and what a text without any such data lacks ------------------------------------

_FINDERS: dict[Kind, Callable[[str], Iterator[Span]]] = {
    "id": _ids, "iban": _ibans, "card": _cards, "email": _emails,
}  # fmt: skip
_LONG_NUMBER = re.compile(r"[0-9](?:[ ().-]{0,2}[0-9]){7}")
_HINTS: dict[Kind, Callable[[str], object]] = {
    "id": _LONG_NUMBER.search,
    "iban": re.compile(r"[A-Z]{2}[0-9]{2} ?[A-Z0-9]").search,
    "card": _LONG_NUMBER.search,
    "email": lambda text: "@" in text,
    "phone": _LONG_NUMBER.search,
}
