"""Help answers at once: no verb loads torch, or anything as heavy, before it knows what to do."""

import subprocess
import sys

import pytest

from groundup.cli.compress import KINDS as COMPRESSIONS
from groundup.cli.finetune import KINDS
from groundup.cli.main import VERBS

HEAVY = ("torch", "sklearn", "scipy", "transformers", "matplotlib")
PROGRAM = f"""
import sys
from groundup.cli.main import run
try:
    run(sys.argv[1:])
except SystemExit:
    pass
sys.exit(any(name in sys.modules for name in {HEAVY}))
"""


SUB_VERBS = [
    *(f"finetune {kind}" for kind in KINDS), *(f"compress {kind}" for kind in COMPRESSIONS)
]  # fmt: skip


@pytest.mark.parametrize("command", [*VERBS, *SUB_VERBS])
def test_help_is_light(command: str):
    words = [*command.split(), "--help"]
    result = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True)
    assert result.returncode == 0, f"{command} --help loads one of {HEAVY}"
    assert "usage: groundup" in result.stdout
