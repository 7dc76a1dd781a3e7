"""The model: sizes, causality, cache, and equality with transformers' GPT-2 and Llama."""

import itertools
import math

import pytest
import torch
import transformers

from groundup.errors import InputError
from groundup.model.attention import attend, attend_step_by_step, causal_mask
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.model.presets import preset
from tests.model.pieces import in_pieces

SMALL = {
    "vocab_size": 50, "context_length": 16, "d_model": 24, "n_layers": 2, "n_heads": 4,
    "initialization": "gpt-2", "dropout": 0.0,
}  # fmt: skip
PARTS = [
    {"position": position, "norm": norm, "norm_place": place, "feed_forward": feed_forward,
     "n_kv_heads": kv_heads, "qk_norm": qk_norm, "bias": bias, "tie_embeddings": tied,
     "short_conv": 3 * qk_norm}
    for (position, feed_forward), (norm, place), (kv_heads, qk_norm), (bias, tied) in zip(
        itertools.product(("sinusoidal", "learned", "rotary", "none"),
                          ("relu", "gelu", "relu2", "swiglu")),
        itertools.cycle(itertools.product(("layernorm", "rmsnorm"), ("pre", "post"))),
        itertools.cycle([(4, False), (2, True), (1, False)]),
        itertools.cycle(itertools.product((False, True), repeat=2)),
        strict=False,
    )
]  # fmt: skip


def small(**parts: object) -> GPT:
    torch.manual_seed(1)
    return GPT(ModelConfig.parse(SMALL | parts)).eval()


@pytest.mark.parametrize("parts", PARTS)
def test_a_changed_token_changes_nothing_before_it(parts: dict):
    model, ids = small(**parts), torch.randint(0, 50, (2, 16))
    changed = ids.clone()
    changed[:, 9] = (changed[:, 9] + 1) % 50
    before, after = model(ids), model(changed)
    assert torch.equal(before[:, :9], after[:, :9])
    assert not torch.allclose(before[:, 9:], after[:, 9:])


@pytest.mark.parametrize("parts", PARTS)
def test_cached_pieces_give_the_logits_of_the_whole(parts: dict):
    model, ids = small(**parts), torch.randint(0, 50, (2, 16))
    pieces = in_pieces(model, ids, [5, 1, 1, 6, 3])
    torch.testing.assert_close(pieces, model(ids), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("time", [1, 3, 7])
def test_the_fused_attention_equals_the_steps_written_out(kv_heads: int, time: int):
    q = torch.randn(2, 4, time, 8)
    k, v = torch.randn(2, 2, kv_heads, 7, 8).unbind()
    mask = causal_mask(time, 7, q.device) if 1 < time < 7 else None
    torch.testing.assert_close(attend(q, k, v, mask), attend_step_by_step(q, k, v))


def test_logits_equal_those_of_transformers_gpt2():
    theirs = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=50,
            n_positions=16,
            n_embd=24,
            n_layer=2,
            n_head=4,
            bos_token_id=0,
            eos_token_id=0,
        )  # fmt: skip
    ).eval()
    ours = GPT(preset("gpt-2-small", **{k: v for k, v in SMALL.items() if k != "initialization"}))
    weights = theirs.transformer
    with torch.no_grad():
        ours.embedding.weight.copy_(weights.wte.weight)
        ours.position.weight.copy_(weights.wpe.weight)
        for mine, block in zip(ours.blocks, weights.h, strict=True):
            qkv = zip(block.attn.c_attn.weight.T.chunk(3), block.attn.c_attn.bias.chunk(3),
                      strict=True)  # fmt: skip
            attention = mine.attention
            for linear, (weight, bias) in zip(
                (attention.query, attention.key, attention.value), qkv, strict=True
            ):
                linear.weight.copy_(weight)
                linear.bias.copy_(bias)
            for linear, conv in (
                (attention.output, block.attn.c_proj),
                (mine.feed_forward.up, block.mlp.c_fc),
                (mine.feed_forward.down, block.mlp.c_proj),
            ):
                linear.weight.copy_(conv.weight.T)
                linear.bias.copy_(conv.bias)
            mine.attention_norm.load_state_dict(block.ln_1.state_dict())
            mine.feed_forward_norm.load_state_dict(block.ln_2.state_dict())
        ours.final_norm.load_state_dict(weights.ln_f.state_dict())
    ids = torch.randint(0, 50, (3, 16))
    torch.testing.assert_close(ours.eval()(ids), theirs(ids).logits, atol=1e-4, rtol=0)


def test_logits_equal_those_of_transformers_qwen3():
    theirs = transformers.Qwen3ForCausalLM(
        transformers.Qwen3Config(
            vocab_size=50,
            hidden_size=24,
            intermediate_size=40,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=6,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
            tie_word_embeddings=False,
        )  # fmt: skip
    ).eval()
    ours = small(feed_forward="swiglu", d_ff=40, n_kv_heads=2, qk_norm=True)
    names = {
        "embedding": "model.embed_tokens", "final_norm": "model.norm", "head": "lm_head",
        "blocks": "model.layers", "attention_norm": "input_layernorm",
        "feed_forward_norm": "post_attention_layernorm", "attention": "self_attn",
        "feed_forward": "mlp", "query": "q_proj", "key": "k_proj", "value": "v_proj",
        "output": "o_proj", "query_norm": "q_norm", "key_norm": "k_norm", "gate": "gate_proj",
        "up": "up_proj", "down": "down_proj",
    }  # fmt: skip
    weights = dict(theirs.named_parameters())
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            parameter.copy_(weights[".".join(names.get(part, part) for part in name.split("."))])
    ids = torch.randint(0, 50, (3, 16))
    torch.testing.assert_close(ours(ids), theirs(ids).logits, atol=1e-4, rtol=0)


def test_the_first_loss_is_that_of_knowing_nothing():
    torch.manual_seed(0)
    model = GPT(preset("nano", vocab_size=1000))
    logits = model(torch.randint(0, 1000, (4, 64)))
    assert logits.logsumexp(-1).mean().item() == pytest.approx(math.log(1000), rel=0.02)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"n_heads": 5}, "use n_heads"),
        ({"n_kv_heads": 3}, "n_kv_heads 3"),
        ({"d_model": 12, "n_heads": 4}, "head_dim must be even"),
        ({"n_head": 3}, "did you mean 'n_heads'"),
        ({"d_model": -1}, "d_model"),
        ({"norm": "rms"}, "norm"),
    ],
)
def test_impossible_sizes_are_refused_with_the_cure(fields: dict, said: str):
    with pytest.raises(InputError) as error:
        ModelConfig.parse(SMALL | fields)
    assert said in str(error.value)


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(InputError, match="gpt2-small") as error:
        preset("gpt2-small")
    assert "did you mean 'gpt-2-small'" in str(error.value)
