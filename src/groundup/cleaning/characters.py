"""Steps about characters: broken encodings, Unicode's many ways, widths, and Chinese script forms."""

import codecs
import contextlib
import re
import sys
import unicodedata
from functools import cache
from types import ModuleType
from typing import Any, Literal

import regex

from groundup.cleaning.step import TextStep

# --- repair -------------------------------------------------------------------------------------


class Repair(TextStep):
    """Mend text that was decoded with the wrong encoding (mojibake), line by line.

    ftfy (Speer 2019) undoes UTF-8 that was read as a Western encoding (donâ€™t → don’t, å¤§å­Ħ →
    大学). Quotation marks, widths and everything else that is not broken stay as they are. Chinese
    bytes that were read as another Chinese encoding (浣犲ソ) are lost in part and stay as well.
    """

    step: Literal["repair"] = "repair"

    def clean(self, text: str) -> str:
        if not _SUSPECT.search(text):
            return text
        ftfy, config = _ftfy()
        return ftfy.fix_text(text, config)


# Letters and controls of the Western encodings: UTF-8 that was read as one of them has some.
_SUSPECT = re.compile("[\x80-\xb6\xb8-\u04ff]")


@cache
def _ftfy() -> tuple[ModuleType, Any]:
    """ftfy, and its settings for doing nothing but mend encodings."""
    _silence_future_typing()
    import ftfy

    return ftfy, ftfy.TextFixerConfig(
        unescape_html=False, remove_terminal_escapes=False, fix_latin_ligatures=False,
        fix_character_width=False, uncurl_quotes=False, fix_line_breaks=False,
        fix_surrogates=False, remove_control_chars=False, normalization=None, explain=False,
    )  # fmt: skip


def _silence_future_typing() -> None:
    """The package future-typing registers, at Python's start and sometimes twice, a search for codecs
    that answers to every name with its own: ftfy, which brings codecs itself, cannot be imported."""
    if "future_typing" not in sys.modules:
        return
    from future_typing import codec  # pyright: ignore[reportMissingImports]

    with contextlib.suppress(LookupError):
        while codecs.lookup("a codec that nobody has").name == "future_typing":
            codecs.unregister(codec.search_function)


# --- unicode ------------------------------------------------------------------------------------


class Unicode(TextStep):
    """One way to write each character (Unicode Annex 15), and nothing that cannot be seen.

    Removes control, zero-width, direction and private-use characters, byte order marks and soft
    hyphens; makes every line end a plain one; drops spaces at line ends, and empty lines beyond two.
    `repair` goes before it, which needs some of what it removes.
    """

    step: Literal["unicode"] = "unicode"
    form: Literal["NFC", "NFKC"] = "NFC"
    """NFC joins letters and accents; NFKC also gives up widths, ligatures and superscripts (it turns
    Chinese punctuation into ASCII and x² into x2)."""

    def clean(self, text: str) -> str:
        text = _LINE_END.sub("\n", text)
        if not text.isascii():
            # Joiners first and last depend on their neighbours; what normalising joins must not
            # be parted by something invisible: hence twice.
            text = unicodedata.normalize(self.form, text)
            text = _joiners_removed(_INVISIBLE.sub("", text))
            text = unicodedata.normalize(self.form, text)
        else:
            text = _INVISIBLE.sub("", text)
        text = "\n".join(map(str.rstrip, text.split("\n")))
        return _EMPTY_LINES.sub("\n\n\n", text)


_LINE_END = re.compile("\r\n?|[\v\f\x85\u2028\u2029]")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ud800-\uf8ff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\U000f0000-\U0010ffff]+"
)
# Joiners shape what follows in these scripts and in emoji; elsewhere they are rubbish.
_JOINER = regex.compile(
    r"(?<![\p{Arabic}\p{Devanagari}\p{Bengali}\p{Gujarati}\p{Tamil}\p{Telugu}\p{Kannada}"
    r"\p{Malayalam}\p{Sinhala}\p{Khmer}\p{Extended_Pictographic}\p{Emoji_Modifier}\uFE0F])"
    r"[\u200c\u200d]+"
)
_EMPTY_LINES = re.compile(r"\n{4,}")


def _joiners_removed(text: str) -> str:
    return _JOINER.sub("", text) if "\u200d" in text or "\u200c" in text else text


# --- width --------------------------------------------------------------------------------------


class Width(TextStep):
    """Full-width letters and digits (Ａ１) to their usual form, half-width kana and hangul (ｶﾞ) to
    theirs, as NFKC does, and nothing else."""

    step: Literal["width"] = "width"
    punctuation: bool = False
    """Punctuation and the wide space as well: ，becomes a comma. Chinese wants this off."""

    def clean(self, text: str) -> str:
        if text.isascii():
            return text
        pattern = _WIDE_AND_PUNCTUATION if self.punctuation else _WIDE
        return pattern.sub(lambda run: unicodedata.normalize("NFKC", run[0]), text)


_WIDE = re.compile("[０-９Ａ-Ｚａ-ｚ\uff66-\uffdc]+")
_WIDE_AND_PUNCTUATION = re.compile("[！-～\u3000\uff61-\uffdc]+")


# --- simplify -----------------------------------------------------------------------------------


class Simplify(TextStep):
    """Chinese in one script: traditional characters to simplified ones, or back, by OpenCC, which
    looks at words where a character alone does not decide (头发 → 頭髮, 发展 → 發展). It takes Japanese
    for Chinese: `language` goes before it where there is some."""

    step: Literal["simplify"] = "simplify"
    to: Literal["simplified", "traditional"] = "simplified"
    """The script to write in."""

    def clean(self, text: str) -> str:
        return _opencc(self.to)(text) if _HAN.search(text) else text


_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


@cache
def _opencc(to: str) -> Any:
    import opencc

    return opencc.OpenCC({"simplified": "t2s", "traditional": "s2t"}[to]).convert
