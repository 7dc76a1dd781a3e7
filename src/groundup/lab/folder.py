"""A learner's folder: one file for each exercise, and what is known of how far they are."""

import hashlib
import json
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import tomli_w

from groundup.errors import InputError, unknown
from groundup.files import atomic_file, disk_errors
from groundup.lab.exercises import CHAPTERS, NAMES
from groundup.language import LANGUAGES, N_, pick_language, translate

SETTINGS = "lab.toml"
PROGRESS = ".progress.json"

README = N_("""\
# My own language model

Each file is a part of a language model, with a text about it and a blank. Write the part, and have it
checked:

    groundup lab list                   the way, and how far it is
    groundup lab check NAME             what is wrong with a part, and perhaps why
    groundup lab check --watch          the same, each time a file is saved
    groundup lab hint NAME              a hint, each time a stronger one
    groundup lab train                  train the real model on the parts that are right, and talk to it

Begin where it looks interesting: each part can be written by itself, and ours stands in for those that are
missing.
""")


@dataclass
class Record:
    """What is known of an exercise."""

    content: str = ""
    """Which content of the file was checked, by its hash."""
    status: str = ""
    hints: int = 0
    """How many were shown."""


class Lab:
    """A learner's folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        settings = _read_settings(folder / SETTINGS)
        self.language: str = settings["language"]
        self.records = _read_records(folder / PROGRESS)

    @classmethod
    def find(cls, folder: Path) -> "Lab":
        """The lab that `folder` is or lies in; raises `InputError` where there is none."""
        for place in (folder.absolute(), *folder.absolute().parents):
            if (place / SETTINGS).is_file():
                return cls(place)
        below = [path.parent for path in folder.glob(f"*/{SETTINGS}")]
        fix = f"cd {below[0]}" if below else "begin one: groundup lab start my-llm, then cd my-llm"
        raise InputError("this folder is no lab", str(folder.absolute()), fix)

    def told(self, text: str, **fields: object) -> str:
        """A marked text in the learner's language."""
        return translate(text, self.language, **fields)

    def path(self, name: str) -> Path:
        """The file of an exercise; raises `InputError` where the name is none, or the file is gone."""
        path = self.find_file(name)
        if path is None:
            fix = f"groundup lab start {self.folder} writes the missing files anew"
            place = self.folder / "*" / f"*_{name}.py"
            raise InputError("the exercise's file is missing", str(place), fix)
        return path

    def find_file(self, name: str) -> Path | None:
        """The file of an exercise, if it is there."""
        if name not in NAMES:
            raise unknown("exercise", name, NAMES)
        found = (path for path in self.folder.glob(f"*/[0-9]*_{name}.py") if path.is_file())
        return min(found, default=None)

    def status(self, name: str) -> str:
        """What the last check of this very content said: "passed", "wrong", "blank", or "" if there was
        none; "missing" where there is no file."""
        path, record = self.find_file(name), self.records.get(name)
        if path is None:
            return "missing"
        return record.status if record and record.content == fingerprint(path) else ""

    def record(self, name: str, content: str, status: str) -> None:
        """Remember what a check said of this content, told by its fingerprint."""
        record = self._newest(name)
        record.content, record.status = content, status
        self._save()

    def next_hint(self, name: str, most: int) -> int:
        """The number of the next hint to show; the last one again and again."""
        record = self._newest(name)
        record.hints = min(record.hints + 1, most)
        self._save()
        return record.hints

    def _newest(self, name: str) -> Record:
        """What is known of an exercise, by now: another command may watch the same folder."""
        self.records = _read_records(self.folder / PROGRESS)
        return self.records.setdefault(name, Record())

    def _save(self) -> None:
        content = {name: asdict(record) for name, record in self.records.items()}
        with disk_errors(self.folder), atomic_file(self.folder / PROGRESS) as file:
            file.write(json.dumps(content, indent=1))


def start(folder: Path, language: str | None) -> tuple[Lab, int]:
    """Make the folder, or write anew what is missing in it, and nothing else: the lab, and how many
    exercises were written."""
    from groundup.lab.cut import blank_file
    from groundup.lab.exercises import find

    settings = folder / SETTINGS
    if folder.is_dir() and any(folder.iterdir()) and not settings.is_file():
        raise InputError("this folder holds other things", str(folder), "name a new one")
    if folder.exists() and not folder.is_dir():
        raise InputError("this is a file", str(folder), "name a folder")
    language = (
        pick_language(language) if language or not settings.is_file() else Lab(folder).language
    )
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _write(settings, tomli_w.dumps({"language": language}))
        if not (folder / "README.md").exists():
            _write(folder / "README.md", translate(README, language))
        written = 0
        for number, (place, name) in enumerate(_places(folder), start=1):
            if any(folder.glob(f"*/[0-9]*_{name}.py")):
                continue
            place.mkdir(exist_ok=True)
            _write(
                place / f"{number:02}_{name}.py",
                blank_file(find(name), number, len(NAMES), language),
            )
            written += 1
    return Lab(folder), written


def _places(folder: Path) -> Iterator[tuple[Path, str]]:
    """Each exercise and the folder of its chapter, in order."""
    for number, (chapter, names) in enumerate(CHAPTERS.items(), start=1):
        for name in names:
            yield folder / f"{number:02}_{chapter}", name


def _write(path: Path, content: str) -> None:
    with atomic_file(path) as file:
        file.write(content)


def fingerprint(path: Path) -> str:
    """Tells the content of a file from any other."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read_settings(path: Path) -> dict[str, str]:
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            f"this is no TOML: {error}", str(path), 'it should say: language = "en"'
        ) from None
    if settings.get("language") not in LANGUAGES:
        known = " or ".join(f'language = "{language}"' for language in LANGUAGES)
        raise InputError("the language of the lab is unknown", str(path), f"it should say: {known}")
    return settings


def _read_records(path: Path) -> dict[str, Record]:
    """What is known; nothing where the file is missing or damaged, as checks find it out again."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: Record(**fields) for name, fields in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
