"""The diagram: every parameter has its box, every norm its place, and every line its width."""

from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
import torch
from hypothesis import given, settings

from groundup.model import cost
from groundup.model.config import ModelConfig
from groundup.model.diagram import Block, Part, Residual, diagram, order
from groundup.model.drawing import to_ascii, to_html, to_text
from groundup.model.presets import PRESETS, preset
from groundup.model.sheet import figures, size_text, tables, to_page
from tests.model.test_cost import CONFIGS, KINDS, SMALL, small

LARGE = {
    "gpt-3-175b": preset("gpt-3-175b"),
    "hybrid": ModelConfig(
        vocab_size=151_936, context_length=262_144, d_model=2048, n_layers=48, n_heads=16,
        n_kv_heads=2, head_dim=256, layer_pattern=["linear", "linear", "linear", "full"],
        attention_gate=True, rope_share=0.25, qk_norm=True, feed_forward="swiglu",
        delta={"n_key_heads": 16, "n_value_heads": 32, "key_dim": 128, "value_dim": 128},
        experts={"count": 512, "active": 10, "d_ff": 512, "shared_d_ff": 512, "shared_gate": True},
    ),
}  # fmt: skip


def parts(block: Block) -> Iterator[Part]:
    for step in block.steps:
        yield from step.branch if isinstance(step, Residual) else (step,)


@settings(max_examples=100, deadline=None)
@given(CONFIGS)
def test_the_boxes_hold_every_parameter_of_the_model(config: ModelConfig):
    found = diagram(config)
    outside = sum(part.parameters for part in (*found.before, *found.after))
    inside = 0
    for block in found.blocks:
        count = int(block.title.split(" ×")[0])
        assert block.parameters == sum(part.parameters for part in parts(block))
        inside += count * block.parameters
    assert outside + inside == cost.parameter_count(config)


@settings(max_examples=60, deadline=None)
@given(CONFIGS)
def test_every_line_fits_and_can_be_drawn_in_ascii(config: ModelConfig):
    text = to_text(diagram(config))
    assert max(map(len, text.splitlines())) <= 90
    plain = to_ascii(text)
    assert plain.isascii() and list(map(len, plain.split("\n"))) == list(map(len, text.split("\n")))


@pytest.mark.parametrize("config", [*LARGE.values(), *map(preset, PRESETS)])
def test_every_line_of_a_real_model_fits(config: ModelConfig):
    assert max(map(len, to_text(diagram(config)).splitlines())) <= 90


@pytest.mark.parametrize("place", ["pre", "post", "output", "sandwich"])
def test_norms_are_drawn_in_the_order_in_which_they_run(place: str):
    model = small({"norm_place": place})
    ran: list[str] = []
    for name, part in model.blocks[0].named_children():
        part.register_forward_hook(lambda *_, name=name: ran.append(name))
    model(torch.zeros(1, 4, dtype=torch.long))
    drawn = [part.title.split(":")[0] for part in parts(diagram(model.config).blocks[0])]
    names = {"attention": "attention", "feed_forward": "feed-forward"}
    assert drawn == [names.get(name, "RMSNorm") for name in ran]


def test_only_what_is_drawn_on_a_branch_is_added_to_the_stream():
    """Post-norm norms the sum itself; every other block leaves the stream unnormed."""
    stream = {
        place: [step.title for step in diagram(ModelConfig(norm_place=place)).blocks[0].steps
                if isinstance(step, Part)]
        for place in ("pre", "post", "output", "sandwich")
    }  # fmt: skip
    assert stream == {"pre": [], "post": ["RMSNorm", "RMSNorm"], "output": [], "sandwich": []}


def test_the_text_shows_a_norm_before_its_attention_and_the_sum_after_it():
    lines = [line for line in to_text(diagram(preset("gpt-2-small"))).splitlines()
             if any(word in line for word in ("LayerNorm", "attention:", "feed-forward:", "⊕"))]  # fmt: skip
    assert [line.strip("│ ").split()[0].rstrip(":") for line in lines] == [
        "LayerNorm", "attention", "⊕◄─────┘", "LayerNorm", "feed-forward", "⊕◄─────┘", "LayerNorm",
    ]  # fmt: skip
    assert lines[1].endswith("2,362,368") and lines[4].endswith("4,722,432")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"layer_pattern": ["window"] * 2 + ["full"], "window": 8, "n_layers": 8},
         "2 × window of 8, then 1 × full attention, repeated"),
        ({"experts": {"count": 4, "dense_layers": 3}, "n_layers": 9},
         "3 × plain feed-forward, then 6 × experts"),
        ({"experts": {"count": 4, "dense_layers": 2, "every": 2}, "n_layers": 9},
         "first 2 × plain feed-forward; after that 1 × plain feed-forward, then 1 × experts, repeated"),
        ({"layer_pattern": ["full", "nope"], "n_layers": 2},
         "1 × full attention, then 1 × attention without rotation"),
        ({"layer_pattern": ["linear", "full"], "experts": {"count": 4, "dense_layers": 1},
          "n_layers": 3}, "1 × Gated DeltaNet with plain feed-forward, then 1 × full attention with "
                          "experts, then 1 × Gated DeltaNet with experts"),
    ],
)  # fmt: skip
def test_the_order_of_layers_is_said_in_a_sentence(parts: dict, said: str):
    assert order(ModelConfig.parse(SMALL | parts)) == said


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"n_kv_heads": 2}, ["grouped-query (GQA)", "4 query heads, 2 of keys and values"]),
        ({"layer_pattern": ["window"], "window": 12, "rope_theta_window": 500.0},
         ["the last 12 tokens", "theta 500"]),
        ({"rope_theta": 1e6, "rope_scaling": {"kind": "llama3", "factor": 8}},
         ["theta 1,000,000", "stretched 8 × (llama3)"]),
        ({"attention_gate": True, "attention_softcap": 50.0, "attention_scale": 0.1},
         ["gated by a sigmoid", "stay below 50", "multiplied by 0.1"]),
        ({"latent": {"kv_rank": 10, "rope_dim": 2}, "attention_gate": True}, ["latent (MLA)"]),
        ({"layer_pattern": ["linear"]}, ["Gated DeltaNet", "remembers 2 × 32 × 32 numbers"]),
        ({"experts": {"count": 4, "shared_d_ff": 8, "shared_gate": True}},
         ["mixture of 4 experts, 2 for each token", "for every token, gated"]),
        ({"tie_embeddings": True, "scale_embeddings": True, "logit_softcap": 30.0},
         ["(tied)", "the root of d_model", "logits bent"]),
        ({"qk_norm": True, "qk_norm_scope": "all", "qkv_bias": True},
         ["normed, all heads together", "biases in queries, keys and values"]),
        ({"position": "sinusoidal"}, ["sines and cosines"]),
    ],
)  # fmt: skip
def test_what_a_model_has_is_named(parts: dict, said: list[str]):
    text = " ".join(to_text(diagram(ModelConfig.parse(SMALL | parts))).replace("│", " ").split())
    assert not [words for words in said if words not in text]


def test_nothing_is_named_that_is_not_built():
    """Latent attention has no gate, and a memory neither rotation nor heads of its own."""
    latent = to_text(diagram(ModelConfig.parse(SMALL | KINDS["latent"] | {"attention_gate": True})))
    assert "gated" not in latent
    memory = to_text(diagram(ModelConfig.parse(SMALL | KINDS["delta alone"] | {"qk_norm": True})))
    assert "rotary" not in memory and "query heads, " not in memory and "window" not in memory


class Balance(HTMLParser):
    """Complains of tags that are not closed in order, and gathers the text."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "html"):
            self.open.append(tag)
        assert not [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert tag == "html" or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("config", LARGE.values())
def test_the_page_has_the_same_boxes_and_needs_nothing_from_elsewhere(config: ModelConfig):
    found = diagram(config)
    page = Balance(to_page("<a model>", "one & all", config))
    assert "script" not in page.tags and "<a model>" in page.text and "one & all" in page.text
    for block in found.blocks:
        for part in parts(block):
            assert part.title in page.text and f"{part.parameters:,}" in page.text
    assert to_html(found).count('class="sum"') == 2 * len(found.blocks)
    for name, header, rows in tables(config):
        assert name in page.text and all(
            cell in page.text for row in [header, *rows] for cell in row
        )


def test_shares_are_of_the_whole():
    name, _, rows = next(tables(preset("gpt-2-small")))
    assert name == "Parameters" and rows[-1] == ["in all", "124,439,808", "100.0%"]
    assert rows[0] == ["embedding", "38,597,376", "31.0%"]


def test_the_cache_table_says_what_the_model_is():
    caches = figures(ModelConfig(n_heads=8, n_kv_heads=1, layer_pattern=["window"], window=32))[
        "caches"
    ]
    assert caches == {
        "this_model": "MQA, 1 kv head, window of 32", "mha": "MHA, 8 kv heads",
        "gqa": "GQA, 2 kv heads", "mla": "MLA, 96 + 12 numbers",
        "window": "MQA, 1 kv head, window of 32",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (34_560_000, "34.6 MB"), (1.5e9, "1.5 GB"),
     (2_793_668_149_248, "2.79 TB"), (5e15, "5,000 TB"), (999_999, "1 MB")],
)  # fmt: skip
def test_sizes_are_said_in_three_digits(size: int | float, said: str):
    assert size_text(size) == said
