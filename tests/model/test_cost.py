"""What a model costs: every figure against the real model, the real cache and torch's own counter."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.generation.scheduler import Request
from groundup.model import cost
from groundup.model.config import ModelConfig
from groundup.model.experts import MixtureOfExperts
from groundup.model.gpt import GPT
from groundup.model.presets import PRESETS, preset

CONTEXT = 32
SMALL = {
    "vocab_size": 50, "context_length": CONTEXT, "d_model": 24, "n_layers": 3, "n_heads": 4,
    "initialization": "gpt-2",
}  # fmt: skip
DELTA = {"n_key_heads": 2, "n_value_heads": 4, "key_dim": 8, "value_dim": 10, "conv_width": 3}
LATENT = {"kv_rank": 10, "rope_dim": 2, "value_dim": 7}
EXPERTS = {"count": 6, "active": 2, "d_ff": 20}
KINDS = {
    "multi-head": {},
    "grouped-query": {"n_kv_heads": 2, "qk_norm": True},
    "multi-query with biases": {"n_kv_heads": 1, "bias": True, "feed_forward": "gelu"},
    "gated attention": {"attention_gate": True, "qkv_bias": True},
    "soft caps": {"attention_softcap": 20.0, "logit_softcap": 30.0, "norm_place": "sandwich"},
    "short convolution": {"short_conv": 3},
    "windows": {"layer_pattern": ["window", "full"], "window": 8, "n_layers": 5},
    "no rotation": {"layer_pattern": ["full", "nope"], "head_dim": 8},
    "latent": {"latent": LATENT},
    "latent with narrow queries": {"latent": LATENT | {"query_rank": 9}, "bias": True},
    "latent, window without effect": {"latent": LATENT, "layer_pattern": ["window"], "window": 4},
    "delta": {"layer_pattern": ["linear", "linear", "full"], "delta": DELTA},
    "delta alone": {"layer_pattern": ["linear"], "delta": DELTA},
    "experts": {"experts": EXPERTS, "feed_forward": "swiglu"},
    "experts here and there": {
        "experts": EXPERTS | {"shared_d_ff": 12, "shared_gate": True, "dense_layers": 1, "every": 2},
        "n_layers": 6,
    },
    "tied": {"tie_embeddings": True, "position": "learned", "norm": "layernorm"},
}  # fmt: skip
CHOICES: dict[str, list] = {
    "n_layers": [1, 2, 5, 7],
    "n_kv_heads": [1, 2, 4],
    "head_dim": [6, 10],
    "layer_pattern": [["full"], ["window", "nope"], ["linear", "full", "window"], ["linear"]],
    "latent": [{}, LATENT, LATENT | {"query_rank": 5}],
    "delta": [{}, DELTA],
    "attention_scale": [None, 0.3],
    "attention_softcap": [None, 15.0],
    "attention_gate": [False, True],
    "feed_forward": ["relu", "gelu", "relu2", "swiglu", "geglu"],
    "experts": [
        {}, EXPERTS, EXPERTS | {"shared_d_ff": 8}, EXPERTS | {"count": 2, "every": 2},
        EXPERTS | {"shared_d_ff": 8, "shared_gate": True, "dense_layers": 2},
        EXPERTS | {"groups": 3, "active_groups": 2, "dense_layers": 9},
    ],
    "position": ["sinusoidal", "learned", "rotary", "none"],
    "norm": ["layernorm", "rmsnorm", "zero-centered-rmsnorm"],
    "norm_place": ["pre", "post", "output", "sandwich"],
    "qk_norm": [False, True],
    "qk_norm_scope": ["head", "all"],
    "short_conv": [0, 2],
    "bias": [False, True],
    "qkv_bias": [False, True],
    "tie_embeddings": [False, True],
    "logit_softcap": [None, 20.0],
    "initialization": ["xavier", "gpt-2", "zero-residual"],
}  # fmt: skip
CONFIGS = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(values) for name, values in CHOICES.items()}
).map(lambda chosen: ModelConfig.parse(SMALL | {"window": 5} | chosen))


def small(parts: dict) -> GPT:
    torch.manual_seed(1)
    return GPT(ModelConfig.parse(SMALL | parts)).eval()


def without_memory(config: ModelConfig) -> GPT:
    with torch.device("meta"):
        return GPT(config)


def size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def operations(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        run()
    return counter.get_total_flops()


def test_gpt2_small_has_its_published_number_of_parameters():
    assert cost.parameter_count(preset("gpt-2-small")) == 124_439_808


@pytest.mark.parametrize("name", PRESETS)
def test_the_parameters_of_every_preset_are_those_of_the_model(name: str):
    assert cost.parameter_count(preset(name)) == size(without_memory(preset(name)))


@pytest.mark.parametrize("name", PRESETS)
def test_the_formula_holds_for_every_preset(name: str):
    config = preset(name)
    assert cost.is_plain(config)
    assert cost.parameter_count_by_formula(config) == cost.parameter_count(config)


@settings(max_examples=80, deadline=None)
@given(CONFIGS)
def test_the_formula_holds_for_any_model_of_plain_parts(config: ModelConfig):
    plain = {"latent": {}, "experts": {}, "attention_gate": False, "short_conv": 0,
             "layer_pattern": ["window", "full"], "qk_norm_scope": "head"}  # fmt: skip
    place = "pre" if config.norm_place == "sandwich" else config.norm_place
    config = ModelConfig.parse(config.model_dump() | plain | {"norm_place": place})
    assert cost.is_plain(config)
    assert cost.parameter_count_by_formula(config) == cost.parameter_count(config)


@settings(max_examples=80, deadline=None)
@given(CONFIGS)
def test_the_parameters_of_any_configuration_are_those_of_the_model_part_by_part(
    config: ModelConfig,
):
    model, counts = without_memory(config), cost.parameters(config)
    assert sum(counts.values()) == size(model)
    assert counts["embedding"] == size(model.embedding)
    assert counts["head"] == (0 if config.tie_embeddings else size(model.head))
    mixtures = [block.feed_forward for block in model.blocks
                if isinstance(block.feed_forward, MixtureOfExperts)]  # fmt: skip
    assert counts["experts"] == sum(map(size, mixtures))
    waiting = [
        expert for mixture in mixtures for expert in mixture.experts[config.experts.active :]
    ]
    assert cost.active_parameter_count(config) == size(model) - sum(map(size, waiting))


@pytest.mark.parametrize("field", CHOICES)
def test_every_choice_of_every_part_is_counted(field: str):
    """Where the random configurations might miss a value."""
    for value in CHOICES[field]:
        config = ModelConfig.parse(SMALL | {"window": 5, "n_layers": 4} | {field: value})
        assert cost.parameter_count(config) == size(without_memory(config)), value


def test_all_settings_that_change_sizes_are_among_the_choices():
    """A new field must be added above, or here if it changes no size."""
    sizeless = {
        "vocab_size", "context_length", "d_model", "n_heads", "window", "d_ff", "rope_theta",
        "rope_theta_window", "rope_share", "rope_scaling", "norm_epsilon", "dropout",
        "scale_embeddings",
    }  # fmt: skip
    assert set(ModelConfig.model_fields) == sizeless | set(CHOICES)


def test_counting_draws_no_random_numbers():
    before = torch.random.get_rng_state()
    cost.parameter_count(ModelConfig(n_layers=3, vocab_size=77))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if "delta" not in kind and kind != "windows"]
)
def test_the_operations_of_a_whole_text_are_those_that_torch_counts(kind: str):
    model = small(KINDS[kind]).double()  # torch does not count the products of oneDNN
    counted = operations(lambda: model(torch.zeros(1, CONTEXT, dtype=torch.long)))
    ours = CONTEXT * cost.forward_flops_per_token(model.config)
    assert counted == pytest.approx(ours, rel=0.02)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "latent" not in kind])
def test_the_operations_of_the_last_token_are_those_that_torch_counts(kind: str):
    """With a cache, a window is all that is looked at, and a memory is what is read."""
    model = small(KINDS[kind]).double()
    engine = read(model, CONTEXT - 1, chunk_tokens=1)
    counted = operations(engine.step)
    assert counted == pytest.approx(cost.forward_flops_per_token(model.config), rel=0.03)


def read(model: GPT, length: int, chunk_tokens: int) -> Engine:
    """An engine that holds a text of this length, of which it has not seen the last token yet."""
    engine = Engine(model, block_size=1, chunk_tokens=chunk_tokens)
    engine.submit(Request([0] * length, SamplingConfig(temperature=0, max_new_tokens=2)))
    while not engine.step():
        pass
    return engine


def test_a_token_costs_as_much_as_its_experts_not_as_all():
    few, many = (preset("micro", experts=EXPERTS | {"count": count}) for count in (2, 64))
    router = 62 * 192 * 4  # a row for each expert more
    assert cost.active_parameter_count(many) == cost.active_parameter_count(few) + router
    assert cost.forward_flops_per_token(many) == cost.forward_flops_per_token(few) + 2 * router
    assert cost.parameter_count(many) > 2 * cost.parameter_count(few)


@pytest.mark.parametrize("length", [1, 7, CONTEXT - 1])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at_once", [False, True])
def test_the_cache_is_as_large_as_said(kind: str, length: int, at_once: bool):
    model = small(KINDS[kind])
    engine = read(model, length, chunk_tokens=length if at_once else 1)
    (text,) = engine.scheduler.running
    held = sum(state.nbytes for state in text.states.values())
    for layer, buffers in engine.cache.layers.items():
        sight = cost.window(model.config, model.config.layer_kind(layer))
        tokens = text.known if sight is None else len(engine.cache.pages)
        held += sum(tokens * part[0].nbytes for parts in buffers for part in parts)
    assert text.known == length and cost.cache_bytes(model.config, length) == held


def test_a_window_and_a_memory_do_not_grow_with_the_text():
    config = ModelConfig(layer_pattern=["window", "linear"], window=16, context_length=1 << 20)
    assert cost.cache_bytes(config, 1 << 10) == cost.cache_bytes(config, 1 << 20)


def test_deepseeks_cache_is_the_published_part_of_multi_head_attentions():
    """DeepSeek-V2 (table 1): 4.5 head widths per token and layer, where 128 heads need 256."""
    config = ModelConfig(
        d_model=512, n_heads=128, head_dim=192, n_layers=2, context_length=4096,
        latent={"kv_rank": 512, "rope_dim": 64, "value_dim": 128},
    )  # fmt: skip
    alternatives = cost.cache_alternatives(config)
    assert alternatives["mla"].latent == config.latent
    ratio = cost.cache_bytes(alternatives["mha"]) / cost.cache_bytes(config)
    assert ratio == pytest.approx(256 / 4.5)
    same_shape = config.model_copy(update={"head_dim": 128, "latent": ModelConfig().latent})
    assert cost.cache_alternatives(same_shape)["mla"].latent.kv_rank == 512


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_model_is_itself_costs_the_same_among_the_alternatives(kind: str):
    config = ModelConfig.parse(SMALL | KINDS[kind])
    itself = {
        "multi-head": "mha", "grouped-query": "gqa", "latent": "mla", "tied": "mha",
        "latent with narrow queries": "mla", "latent, window without effect": "mla",
    }  # fmt: skip
    if kind in itself:
        alternative = cost.cache_alternatives(config)[itself[kind]]
        assert cost.cache_bytes(alternative) == cost.cache_bytes(config)
    sizes = {name: cost.cache_bytes(c) for name, c in cost.cache_alternatives(config).items()}
    assert min(sizes.values()) > 0 and sizes["gqa"] < sizes["mha"]


def test_lengths_rise_up_to_the_context():
    assert cost.cache_lengths(ModelConfig(context_length=5000)) == [256, 1024, 4096, 5000]
    assert cost.cache_lengths(ModelConfig(context_length=100)) == [100]


def test_memory_is_that_of_the_bits():
    config = preset("gpt-2-small")
    memory = cost.memory_bytes(config, 100)
    assert memory["weights"] == 4 * 124_439_808 == 2 * memory["weights_float16"]
    assert memory["training"] == 4 * memory["weights"]
    assert memory["weights_int8"] == 2 * memory["weights_int4"] == 124_439_808
    assert memory["key_value_cache"] == 2 * 12 * 768 * 100 * 4
