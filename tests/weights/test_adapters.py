"""Adapters in PEFT's format, both ways, on random models of the real classes."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

import groundup
from groundup.errors import CorruptFileError, GroundupError, InputError
from groundup.model.gpt import GPT
from groundup.model.lora import (
    LoraConfig,
    adapted_layers,
    adapter_names,
    adapter_parameters,
    add_lora,
    use_adapter,
)
from groundup.model.presets import preset
from groundup.model.quantized import quantize
from groundup.weights import huggingface
from groundup.weights.adapters import load_adapter, save_adapter
from groundup.weights.convert import convert
from groundup.weights.directory import find_family, read_config, weights_checksum

# PEFT asks this of transformers, which calls it something else now.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
CLOSE = {"atol": 1e-5, "rtol": 0.0}
SMALL: dict[str, Any] = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
    "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
}  # fmt: skip
BASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", SMALL),
    "qwen3": ("Qwen3Config", SMALL | {"head_dim": 16, "tie_word_embeddings": True}),
    "gpt2": ("GPT2Config", {
        "vocab_size": 96, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64,
        "bos_token_id": None, "eos_token_id": None,
    }),
    "phi3": ("Phi3Config", SMALL | {"sliding_window": None}),
    "deepseek": ("DeepseekV2Config", SMALL | {
        "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 6,
        "q_lora_rank": 12, "num_key_value_heads": 4, "first_k_dense_replace": 2,
        "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
    }),
    "qwen3.5": ("Qwen3_5TextConfig", SMALL | {
        "head_dim": 8, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
        "linear_num_key_heads": 2, "linear_num_value_heads": 4, "num_hidden_layers": 4,
    }),
}  # fmt: skip
# DeepSeek's feed-forwards in it are not PEFT's usual: experts, which transformers keeps in one tensor.
TARGETS = {"deepseek": ["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"]}
OUR_TARGETS = {"deepseek": ["attention.*"]}
# Its linear attention itself rounds more.
TOLERANCES = {"qwen3.5": {"atol": 1e-4, "rtol": 0.0}}
KINDS: dict[str, dict[str, Any]] = {
    "lora": {}, "rslora": {"use_rslora": True}, "dora": {"use_dora": True},
}  # fmt: skip
OURS = {"use_rslora": "rslora", "use_dora": "dora"}


def their_base(name: str) -> Any:
    torch.manual_seed(7)
    kind, settings = BASES[name]
    model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, kind)(**settings))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


@pytest.fixture(scope="module", params=BASES)
def base(request, tmp_path_factory) -> Path:
    """The directory of a published base; its folder is called like the family."""
    folder = tmp_path_factory.mktemp("bases") / request.param
    their_base(request.param).save_pretrained(folder)
    return folder


def with_peft(base: Path, **settings: Any) -> Any:
    """The base with an adapter of PEFT's whose numbers matter."""
    config = peft.LoraConfig(**{
        "r": 4, "lora_alpha": 6, "target_modules": TARGETS.get(base.name, "all-linear"),
        "fan_in_fan_out": base.name == "gpt2", **settings,
    })  # fmt: skip
    model = peft.get_peft_model(transformers.AutoModelForCausalLM.from_pretrained(base), config)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


def ours_with_lora(base: Path, **settings: Any) -> GPT:
    model = huggingface.read_model(base)
    targets = OUR_TARGETS.get(base.name, ["blocks.*"])
    add_lora(model, LoraConfig.parse({"rank": 4, "targets": targets, **settings}))
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in adapter_parameters(model).values():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def ids() -> Tensor:
    return torch.randint(0, 96, (2, 30), generator=torch.Generator().manual_seed(3))


def their_logits(model: Any) -> Tensor:
    with torch.no_grad():
        return model(ids(), use_cache=False).logits


# Theirs to us


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_of_peft_gives_its_logits(base: Path, kind: str, tmp_path: Path):
    theirs = with_peft(base, **KINDS[kind])
    theirs.save_pretrained(tmp_path)
    ours = huggingface.read_model(base)
    plain = ours(ids())
    load_adapter(ours, tmp_path, "law")
    wanted = their_logits(theirs)
    assert (wanted - plain).abs().max() > 0.01
    torch.testing.assert_close(ours(ids()), wanted, **TOLERANCES.get(base.name, CLOSE))
    with use_adapter(ours, None):
        assert torch.equal(ours(ids()), plain)


@torch.no_grad()
@pytest.mark.parametrize("settings", [
    {"target_modules": ["q_proj", "down_proj"]},
    {"target_modules": r".*\.0\..*(up_proj|o_proj)"},
    {"target_modules": ["v_proj"], "layers_to_transform": [1]},
    {"rank_pattern": {"q_proj": 7, r"layers\.1\.mlp\.up_proj": 2}, "alpha_pattern": {"q_proj": 3.0}},
    {"rank_pattern": {"mlp.*": 3}, "alpha_pattern": {"k_proj": 20}, "use_rslora": True},
    {"target_modules": ["q_proj", "lm_head"]},
])  # fmt: skip
def test_patterns_of_targets_ranks_and_alphas_are_read(settings: dict, tmp_path: Path):
    their_base("llama").save_pretrained(tmp_path / "llama")
    theirs = with_peft(tmp_path / "llama", **settings)
    theirs.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    ours = huggingface.read_model(tmp_path / "llama")
    load_adapter(ours, tmp_path / "adapter")
    torch.testing.assert_close(ours(ids()), their_logits(theirs), **CLOSE)


@pytest.mark.parametrize("base", ["llama", "qwen3", "gpt2"], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_peft(base: Path, kind: str, tmp_path: Path):
    theirs = with_peft(base, **KINDS[kind])
    theirs.save_pretrained(tmp_path)
    ours = huggingface.read_model(base)
    load_adapter(ours, tmp_path)
    theirs(ids(), use_cache=False).logits.square().mean().backward()
    ours(ids()).square().mean().backward()
    wanted = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    compared = 0
    for layer, part in adapted_layers(ours).items():
        if "attention.output" not in layer and "down" not in layer:
            continue  # GPT-2's query, key and value are one layer there
        number = layer.split(".")[1]
        end = {"gpt2": ("attn.c_proj", "mlp.c_proj")}.get(
            base.name, ("self_attn.o_proj", "mlp.down_proj")
        )["down" in layer]
        for full, gradient in wanted.items():
            if f".{number}.{end}." in full:
                lora = part.adapter("default")
                which = "a" if "lora_A" in full else "b" if "lora_B" in full else "magnitude"
                found = getattr(lora, which).grad
                torch.testing.assert_close(found, gradient, atol=1e-5, rtol=1e-4)
                compared += 1
    assert compared == 2 * 2 * (3 if kind == "dora" else 2)


def test_the_gradients_of_gpt2s_joined_layer_are_those_of_its_parts(tmp_path: Path):
    their_base("gpt2").save_pretrained(tmp_path / "gpt2")
    theirs = with_peft(tmp_path / "gpt2", target_modules=["c_attn"])
    theirs.save_pretrained(tmp_path / "adapter")
    ours = huggingface.read_model(tmp_path / "gpt2")
    load_adapter(ours, tmp_path / "adapter")
    theirs(ids(), use_cache=False).logits.square().mean().backward()
    ours(ids()).square().mean().backward()
    joined = theirs.base_model.model.transformer.h[0].attn.c_attn
    parts = [
        getattr(ours.blocks[0].attention, n).adapter("default") for n in ("query", "key", "value")
    ]
    torch.testing.assert_close(
        sum(part.a.grad for part in parts), joined.lora_A.default.weight.grad, **CLOSE
    )
    torch.testing.assert_close(
        torch.cat([part.b.grad for part in parts]), joined.lora_B.default.weight.grad, **CLOSE
    )


# Ours to them


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_peft_loads_ours_and_gives_our_logits(base: Path, kind: str, tmp_path: Path):
    ours = ours_with_lora(base, **{OURS[key]: value for key, value in KINDS[kind].items()})
    save_adapter(ours, tmp_path, base)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(base)
    theirs = peft.PeftModel.from_pretrained(loaded, tmp_path).eval()
    tolerance = TOLERANCES.get(base.name, CLOSE)
    torch.testing.assert_close(their_logits(theirs), ours(ids()), **tolerance)
    assert theirs.peft_config["default"].use_rslora == (kind == "rslora")
    again = huggingface.read_model(base)
    load_adapter(again, tmp_path)
    torch.testing.assert_close(again(ids()), ours(ids()), **CLOSE)
    for name, parameter in adapter_parameters(ours).items():
        assert torch.equal(adapter_parameters(again)[name], parameter), name
    for layer, part in adapted_layers(ours).items():
        one, other = part.adapter("default"), adapted_layers(again)[layer].adapter("default")
        assert other.scale == pytest.approx(one.scale)


@torch.no_grad()
@pytest.mark.parametrize("base", ["llama", "gpt2", "phi3"], indirect=True)
@pytest.mark.parametrize(
    "targets", [["query", "value"], ["key"], ["blocks.1.attention.query", "up"]]
)
def test_parts_of_what_is_one_layer_there_are_exact_and_stay_apart(
    base: Path, targets: list[str], tmp_path: Path
):
    ours = ours_with_lora(base, targets=targets)
    save_adapter(ours, tmp_path, base)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(base)
    theirs = peft.PeftModel.from_pretrained(loaded, tmp_path).eval()
    torch.testing.assert_close(their_logits(theirs), ours(ids()), **CLOSE)
    again = huggingface.read_model(base)
    load_adapter(again, tmp_path)
    assert adapted_layers(again).keys() == adapted_layers(ours).keys()
    for name, parameter in adapter_parameters(ours).items():
        assert torch.equal(adapter_parameters(again)[name], parameter), name


@torch.no_grad()
# PEFT sets these patterns itself, for the experts that it finds under another name.
@pytest.mark.filterwarnings("ignore:The following .*_pattern keys did not match:RuntimeWarning")
@pytest.mark.parametrize("targets", [["blocks.*"], ["experts.*", "query"]])
def test_peft_loads_our_adapters_on_experts(targets: list[str], tmp_path: Path):
    config = transformers.MixtralConfig(**SMALL, num_local_experts=4, num_experts_per_tok=2)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    ours = ours_with_lora(tmp_path / "base", targets=targets)
    save_adapter(ours, tmp_path / "adapter", tmp_path / "base")
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(loaded, tmp_path / "adapter").eval()
    torch.testing.assert_close(their_logits(theirs), ours(ids()), **CLOSE)


def test_targets_are_said_in_pefts_short_way_where_that_says_it_all(tmp_path: Path):
    their_base("gpt2").save_pretrained(tmp_path / "gpt2")
    for targets, said in (
        (["blocks.*"], ["c_attn", "c_fc", "c_proj"]),
        (["down"], ["transformer.h.0.mlp.c_proj", "transformer.h.1.mlp.c_proj"]),
    ):
        save_adapter(ours_with_lora(tmp_path / "gpt2", targets=targets), tmp_path / "a", "gpt2")
        config = json.loads((tmp_path / "a/adapter_config.json").read_text())
        assert config["target_modules"] == said and config["fan_in_fan_out"] is True


def test_what_an_adapter_cannot_hold_is_refused(tmp_path: Path):
    their_base("gpt2").save_pretrained(tmp_path / "gpt2")
    ours = ours_with_lora(tmp_path / "gpt2", dora=True, targets=["query"])
    with pytest.raises(InputError, match="one layer in files"):
        save_adapter(ours, tmp_path / "a", "gpt2")
    with pytest.raises(InputError, match="did you mean 'default'"):
        save_adapter(ours, tmp_path / "a", "gpt2", "defalt")
    ours.final_norm.requires_grad_(True)
    with pytest.raises(InputError, match="'final_norm.weight' was trained as a whole"):
        save_adapter(ours, tmp_path / "a", "gpt2")
    assert not (tmp_path / "a").exists()


@torch.no_grad()
def test_a_model_that_no_family_covers_keeps_its_adapters_too(model: GPT, tmp_path: Path):
    add_lora(model, LoraConfig(dora=True))
    for parameter in adapter_parameters(model).values():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    save_adapter(model, tmp_path, "ours")
    again = GPT(model.config).eval()
    again.load_state_dict(dict(zip(again.state_dict(), base_weights(model), strict=True)))
    load_adapter(again, tmp_path)
    assert torch.equal(again(ids()), model(ids()))


def base_weights(model: GPT) -> list[Tensor]:
    return [tensor for name, tensor in model.state_dict().items() if ".adapters." not in name]


# As a model


@pytest.fixture
def saved(tokenizer, tmp_path: Path) -> tuple[Path, GPT]:
    """The directory of an adapter, whose base lies beside it, and the model with it."""
    torch.manual_seed(0)
    sizes = {"d_model": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "context_length": 64}
    model = GPT(preset("llama-like", vocab_size=tokenizer.vocab_size, **sizes)).eval()
    groundup.save(model, tokenizer, tmp_path / "base")
    add_lora(model, LoraConfig(rank=4))
    with torch.no_grad():
        for parameter in adapter_parameters(model).values():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    save_adapter(model, tmp_path / "adapter", tmp_path / "base")
    return tmp_path / "adapter", model


@torch.no_grad()
def test_the_directory_of_an_adapter_is_loaded_as_a_model(saved, tokenizer):
    folder, model = saved
    loaded, its_tokenizer = groundup.load(folder)
    assert torch.equal(loaded(ids()), model(ids())) and not loaded.training
    assert adapter_names(loaded) == ["default"]
    assert its_tokenizer.fingerprint == tokenizer.fingerprint
    family = find_family(folder)
    assert read_config(folder) == model.config and family and family.model_type == "llama"
    said = groundup.generate(loaded, tokenizer, "Mia", max_new_tokens=3, seed=0)
    assert said and said == groundup.generate(model, tokenizer, "Mia", max_new_tokens=3, seed=0)
    assert weights_checksum(folder) != weights_checksum(folder.parent / "base")


@pytest.mark.parametrize("bits", [None, 4])
def test_a_saved_model_has_its_adapter_merged(bits: int | None, saved, tokenizer, tmp_path: Path):
    # With gradients on: without, a kernel in bfloat16 multiplies the codes of 4 bits.
    folder, _ = saved
    model, _ = groundup.load(folder)
    if bits:
        quantize(model, bits)
    groundup.save(model, tokenizer, tmp_path / "merged")
    merged, _ = groundup.load(tmp_path / "merged")
    assert not adapter_names(merged)
    torch.testing.assert_close(merged(ids()), model(ids()), **CLOSE)
    use_adapter(model, None)
    groundup.save(model, tokenizer, tmp_path / "plain")
    plain, _ = groundup.load(tmp_path / "plain")
    torch.testing.assert_close(plain(ids()), model(ids()), **CLOSE)


@pytest.mark.parametrize("to", ["huggingface", "gguf"])
def test_an_adapter_is_converted_with_its_base(to: Any, saved, tmp_path: Path):
    folder, model = saved
    written = convert(folder, to, tmp_path / f"out.{to}", "f32" if to == "gguf" else None)
    loaded, _ = groundup.load(written.out)
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids()), model(ids()), **CLOSE)


# Bad input


def refusal(folder: Path) -> GroundupError:
    with pytest.raises(GroundupError) as error:
        groundup.load(folder)
    return error.value


def change(folder: Path, **fields: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def edit(folder: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"peft_type": "IA3"}, "peft_type 'IA3'"),
        ({"bias": "all"}, "bias 'all'"),
        ({"modules_to_save": ["score"]}, "modules_to_save ['score']"),
        ({"init_lora_weights": "pissa_niter_16"}, "pissa"),
        ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens"),
        ({"a_key_of_tomorrow": True}, "a_key_of_tomorrow"),
        ({"r": 0}, "'r' must be a whole number above 0"),
        ({"r": 3}, "says rank 3"),
        ({"use_dora": True}, "use_dora is True"),
        ({"rank_pattern": {"(": 4}}, "'('"),
        ({"base_model_name_or_path": None}, "names no base"),
        ({"base_model_name_or_path": "nowhere/at all"}, "'nowhere/at all' is not here"),
        ({"base_model_name_or_path": "some-owner/some-model"}, "hf download"),
    ],
)
def test_settings_that_are_not_supported_or_wrong_are_named(saved, fields: dict, said: str):
    folder, _ = saved
    change(folder, **fields)
    error = refusal(folder)
    assert said in str(error) and "adapter_config.json" in str(error)


def test_an_adapter_on_an_adapter_is_refused(saved):
    folder, _ = saved
    change(folder, base_model_name_or_path=str(folder))
    assert "is an adapter itself" in str(refusal(folder))


def test_an_adapter_for_another_base_is_refused(saved, tokenizer):
    folder, _ = saved
    sizes = {"n_heads": 4, "n_kv_heads": 2, "context_length": 64}
    for more, said in (
        ({"d_model": 64, "n_layers": 2}, "and the model asks for"),
        ({"d_model": 32, "n_layers": 1}, "no linear layer 'model.layers.1."),
    ):
        other = GPT(preset("llama-like", vocab_size=tokenizer.vocab_size, **sizes, **more))
        groundup.save(other, tokenizer, folder.parent / "base")
        error = refusal(folder)
        assert isinstance(error, InputError) and "for another base" in error.what
        assert said in str(error)


Q = "base_model.model.model.layers.0.self_attn.q_proj.lora_"


@pytest.mark.parametrize(
    ("edited", "said"),
    [
        (lambda t: t.pop(f"{Q}A.weight"), "q_proj.lora_A.weight' is missing"),
        (lambda t: t.pop(f"{Q}B.weight"), "q_proj.lora_B.weight' is missing"),
        (lambda t: t.update({f"{Q}B.weight": torch.ones(3, 4)}), "(3, 4)"),
        (lambda t: t.update({f"{Q}A.weight": torch.ones(4, 32, dtype=torch.int8)}), "I8"),
        (lambda t: t.update({f"{Q}magnitude_vector": torch.ones(32)}), "use_dora is False"),
        (lambda t: t.update({f"{Q}B.bias": torch.ones(32)}), "lora_B.bias"),
        (lambda t: t.update({"base_model.model.score.weight": torch.ones(2, 2)}), "score.weight"),
        (lambda t: t.clear(), "no tensors"),
    ],
)
def test_tensors_that_are_missing_or_do_not_fit_are_named(saved, edited: Callable, said: str):
    folder, _ = saved
    edit(folder, edited)
    assert said in str(refusal(folder))


def test_cut_missing_and_pickled_files_are_named(saved):
    folder, _ = saved
    weights = folder / "adapter_model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)
    assert isinstance(refusal(folder), CorruptFileError)
    weights.unlink()
    assert "weights are missing" in str(refusal(folder))
    (folder / "adapter_model.bin").write_bytes(b"")
    assert "pickle" in str(refusal(folder))
    (folder / "adapter_config.json").write_text("{")
    assert "not valid JSON" in str(refusal(folder))
    with pytest.raises(InputError, match="no adapter"):
        load_adapter(saved[1], folder.parent)
