"""Which text and which code made a weight: checksums of everything on the way to it."""

import hashlib
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

from groundup.recipe.documents import read_index
from groundup.recipe.finished import Finished
from groundup.weights.directory import load_tokenizer

PACKAGE = Path(__file__).parent.parent
LIBRARIES = ("torch", "numpy", "tiktoken", "safetensors")


def provenance(finished: Finished) -> list[tuple[str, str]]:
    """(what, which) of text, tokenizer, models, code, libraries and machine."""
    run, pretrained, tuned = finished.run, finished.pretrained, finished.tuned
    sources = read_index(run.corpus)["sources"] if pretrained else {}
    return [
        *((f"text: {name}", str(source["checksum"])) for name, source in sources.items()),
        ("tokenizer", load_tokenizer(finished.model).fingerprint),
        *([("pretrained model", pretrained.model_checksum)] if pretrained else []),
        *([("tuned model", tuned.model_checksum)] if tuned else []),
        ("groundup", f"{version('groundup')}, code {code_checksum()}{_commit()}"),
        ("Python", platform.python_version()),
        *((name, version(name)) for name in LIBRARIES),
        ("machine", f"{platform.machine()} {platform.system()}"),
    ]


@cache
def code_checksum() -> str:
    """A hash of groundup's own source."""
    checksum = hashlib.blake2b(digest_size=8)
    for path in sorted(PACKAGE.rglob("*.py")):
        checksum.update(path.relative_to(PACKAGE).as_posix().encode() + path.read_bytes())
    return checksum.hexdigest()


def _commit() -> str:
    """The commit, where the code is a checkout."""
    command = ["git", "-C", str(PACKAGE), "rev-parse", "--short", "HEAD"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return f", commit {result.stdout.strip()}" if result.returncode == 0 else ""
