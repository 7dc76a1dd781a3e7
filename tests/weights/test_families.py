"""Every family against `transformers`: random small weights of its real config class, in and out."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from groundup.weights import huggingface
from groundup.weights.families import FAMILIES
from tests.model.pieces import in_pieces

TOLERANCE = {"atol": 1e-4, "rtol": 0.0}
SMALL: dict[str, Any] = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
    "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 16,
}  # fmt: skip
YARN = {
    "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.1, 1.2, 1.3],
    "long_factor": [1.0, 2.0, 3.0, 4.0], "original_max_position_embeddings": 32,
}  # fmt: skip
DELTA = {
    "head_dim": 8, "linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}  # fmt: skip
MLA = {
    "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 6,
    "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
    "first_k_dense_replace": 1, "num_key_value_heads": 4, "n_shared_experts": 2,
}  # fmt: skip
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2Config", {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 64}),
    "llama-2": ("LlamaConfig", {"num_key_value_heads": 4}),
    "llama-3": ("LlamaConfig", {"rope_theta": 500000.0, "num_hidden_layers": 2}),
    "llama-3.2": ("LlamaConfig", {"rope_parameters": LLAMA3, "tie_word_embeddings": True}),
    "smollm2": ("LlamaConfig", {"tie_word_embeddings": True, "head_dim": 16}),
    "mistral": ("MistralConfig", {"sliding_window": 8}),
    "mistral-nemo": ("MistralConfig", {"sliding_window": None, "head_dim": 16}),
    "qwen2.5": ("Qwen2Config", {"tie_word_embeddings": True}),
    "qwen2.5-yarn": ("Qwen2Config", {"rope_parameters": YARN}),
    "qwen2-window": (
        "Qwen2Config", {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2}
    ),
    "qwen3": ("Qwen3Config", {"head_dim": 16}),
    "smollm3": ("SmolLM3Config", {}),
    "olmo-2": ("Olmo2Config", {}),
    "olmo-3": (
        "Olmo3Config", {"sliding_window": 8, "rope_scaling": YARN | {"rope_theta": 500000.0}}
    ),
    "phi-3": ("Phi3Config", {"sliding_window": 12}),
    "phi-3-long": ("Phi3Config", {
        "rope_parameters": LONGROPE, "original_max_position_embeddings": 32,
    }),
    "phi-4-mini": ("Phi3Config", {"rope_parameters": {
        "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5,
    }}),
    "gemma-2": ("Gemma2Config", {
        "head_dim": 16, "sliding_window": 8, "query_pre_attn_scalar": 24,
        "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0,
    }),
    "gemma-3": ("Gemma3TextConfig", {
        "head_dim": 16, "sliding_window": 8, "query_pre_attn_scalar": 24, "num_hidden_layers": 7,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    }),
    "mixtral": ("MixtralConfig", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen3-moe": ("Qwen3MoeConfig", {
        "head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
        "decoder_sparse_step": 2, "norm_topk_prob": True,
    }),
    "deepseek-v2-lite": ("DeepseekV2Config", MLA | {"q_lora_rank": None}),
    "deepseek-v2": ("DeepseekV2Config", MLA | {
        "q_lora_rank": 12, "n_group": 2, "topk_group": 1, "topk_method": "group_limited_greedy",
        "routed_scaling_factor": 2.0,
        "rope_parameters": YARN | {"mscale": 0.7, "mscale_all_dim": 0.9},
    }),
    "qwen3-next": ("Qwen3NextConfig", DELTA | {
        "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16, "num_hidden_layers": 8,
    }),
    "qwen3.5": ("Qwen3_5TextConfig", DELTA),
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES)
def published(request, tmp_path_factory) -> Iterator[tuple[Any, Path]]:
    """A model of the real class with weights large enough to matter, and its directory."""
    name, settings = CASES[request.param]
    torch.manual_seed(7)
    base = {"vocab_size": 96} if name == "GPT2Config" else SMALL
    config = getattr(transformers, name)(**{**base, **settings})
    theirs = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    folder = tmp_path_factory.mktemp(request.param)
    theirs.save_pretrained(folder)
    yield theirs, folder


def their_logits(model: Any, ids: torch.Tensor, **more: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(ids, use_cache=False, **more).logits


@torch.no_grad()
def test_logits_equal_transformers_for_several_lengths(published):
    theirs, folder = published
    ours = huggingface.read_model(folder)
    for length in (1, 7, 33, 60):
        ids = torch.randint(0, 96, (2, length))
        torch.testing.assert_close(ours(ids), their_logits(theirs, ids), **TOLERANCE)


@torch.no_grad()
def test_cached_pieces_equal_transformers(published):
    theirs, folder = published
    ours = huggingface.read_model(folder)
    # All beyond or all within the original context: LongRoPE changes its frequencies in between.
    ids = torch.randint(0, 96, (2, 30))
    pieces = in_pieces(ours, ids, [11, 1, 1, 1, 1, 1, 1, 1, 1, 5, 1, 1, 4])
    torch.testing.assert_close(pieces, their_logits(theirs, ids), **TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("cached", [False, True])
def test_a_padded_batch_equals_transformers(published, cached: bool):
    theirs, folder = published
    ours = huggingface.read_model(folder)
    lengths, longest = [19, 5, 12], 19
    ids = torch.randint(0, 96, (3, longest))
    padding = torch.tensor([longest - n for n in lengths])
    real = torch.arange(longest) >= padding[:, None]
    positions = (torch.arange(longest) - padding[:, None]).clamp(min=0)
    wanted = their_logits(theirs, ids, attention_mask=real.long(), position_ids=positions)
    given = in_pieces(ours, ids, [15, 1, 2, 1], padding) if cached else ours(ids, padding=padding)
    torch.testing.assert_close(given[real], wanted[real], **TOLERANCE)


@torch.no_grad()
def test_out_and_in_again_keeps_every_bit_and_transformers_loads_it(published, tmp_path: Path):
    theirs, folder = published
    ours = huggingface.read_model(folder)
    written = huggingface.write_model(ours, tmp_path, {})
    assert written in FAMILIES
    again = huggingface.read_model(tmp_path)
    for (name, first), second in zip(ours.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(first, second), name
    before, after = (
        load_file(folder / "model.safetensors"),
        load_file(tmp_path / "model.safetensors"),
    )
    assert (
        set(after) == set(before)
        or written != json.loads((folder / "config.json").read_text())["model_type"]
    )
    assert all(torch.equal(before[name], after[name]) for name in after if name in before)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    ids = torch.randint(0, 96, (2, 40))
    torch.testing.assert_close(
        their_logits(loaded, ids), their_logits(theirs, ids), atol=1e-5, rtol=0.0
    )


@pytest.mark.parametrize("case", ["mixtral", "qwen3-moe"])
def test_the_routers_auxiliary_loss_is_that_of_transformers(case: str, tmp_path: Path):
    name, settings = CASES[case]
    config = getattr(transformers, name)(**SMALL | settings, output_router_logits=True)
    theirs = transformers.AutoModelForCausalLM.from_config(config).eval()
    theirs.save_pretrained(tmp_path)
    ours = huggingface.read_model(tmp_path).train()
    ids = torch.randint(0, 96, (2, 40))
    ours(ids)
    wanted = config.router_aux_loss_coef * theirs(ids).aux_loss
    torch.testing.assert_close(ours.auxiliary_loss(), wanted, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_guide_names_every_family(language: str):
    page = Path(__file__).parents[2] / f"docs/{language}/families.md"
    text = page.read_text(encoding="utf-8")
    assert [name for name in FAMILIES if f"`{name}`" not in text] == []
