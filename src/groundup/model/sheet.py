"""The data sheet of a model: what it is made of and what it costs, as figures, tables and a page."""

from collections.abc import Iterator
from typing import Any

from groundup import page
from groundup.language import N_
from groundup.model import cost
from groundup.model.config import LayerKind, ModelConfig
from groundup.model.diagram import diagram, sharing
from groundup.model.drawing import STYLE, to_html

Table = tuple[str, list[str], list[list[str]]]
"""(name, header, rows)."""

NAMES = {"delta": "Gated DeltaNet", "feed_forward": N_("feed-forward")}
WEIGHTS = {
    "weights": N_("weights in float32"), "weights_float16": N_("weights in float16 or bfloat16"),
    "weights_int8": N_("weights in 8 bits"), "weights_int4": N_("weights in 4 bits"),
    "training": N_("training in float32, without activations"),
}  # fmt: skip
NOTE = N_(
    "The cache of a window holds it twice over, so that what is left of it moves to the front only now "
    "and then."
)
TABLES = """
table { display: block; overflow-x: auto }
td, th { overflow-wrap: normal; vertical-align: bottom; padding-right: .8rem }
td + td { white-space: nowrap }
td + td, th + th { text-align: right; font-variant-numeric: tabular-nums }
"""


def figures(config: ModelConfig) -> dict[str, Any]:
    """Every figure of the sheet, by name."""
    alternatives = {"this_model": config, **cost.cache_alternatives(config)}
    return {
        "architecture": config.model_dump(),
        "parameters": cost.parameter_count(config),
        "active_parameters": cost.active_parameter_count(config),
        "parameters_by_part": cost.parameters(config),
        "flops_per_token": cost.forward_flops_per_token(config),
        "training_flops_per_token": cost.training_flops_per_token(config),
        "memory_bytes": cost.memory_bytes(config),
        "caches": {name: remembers(other) for name, other in alternatives.items()},
        "cache_bytes_by_length": [
            {"length": length}
            | {name: cost.cache_bytes(other, length) for name, other in alternatives.items()}
            for length in cost.cache_lengths(config)
        ],
    }


def remembers(config: ModelConfig) -> str:
    """What the layers keep of the past, in a few words: "GQA, 2 kv heads, window of 512"."""
    kinds: set[LayerKind] = {kind for kind, _ in cost.layers_alike(config)}
    said, latent = [], config.latent
    if kinds != {"linear"} and latent.kv_rank:
        said = ["MLA", N_(f"{latent.kv_rank:,} + {latent.rope_dim} numbers")]
    elif kinds != {"linear"}:
        short = sharing(config).split("(")[1].rstrip(")")
        said = [short, N_(f"{config.n_kv_heads} kv head{'s' if config.n_kv_heads > 1 else ''}")]
    if any(cost.window(config, kind) for kind in kinds):
        said.append(N_(f"window of {config.window:,}"))
    if "linear" in kinds:
        said.append("Gated DeltaNet")
    return ", ".join(said)


def tables(config: ModelConfig) -> Iterator[Table]:
    """Parameters by part, operations, memory, and the cache by length beside other ways."""
    found = figures(config)
    yield N_("Parameters"), [N_("part"), N_("parameters"), N_("share")], _parameter_rows(found)
    yield (
        N_("Operations for a token, with the context full"),
        [N_("what"), "FLOPs"],
        [
            [N_("forward"), f"{found['flops_per_token']:,}"],
            [N_("training: forward and backward"), f"{found['training_flops_per_token']:,}"],
        ],
    )
    memory = [[words, size_text(found["memory_bytes"][name])] for name, words in WEIGHTS.items()]
    yield N_("Memory"), [N_("of what"), N_("size")], memory
    others = [N_(f"as {words}") for name, words in found["caches"].items() if name != "this_model"]
    header = [N_("tokens"), N_(f"this model: {found['caches']['this_model']}"), *others]
    rows = [
        [f"{length:,}", *map(size_text, sizes)]
        for length, *sizes in (row.values() for row in found["cache_bytes_by_length"])
    ]
    yield N_("Cache of one text by its length, in float32"), header, rows


def _parameter_rows(found: dict[str, Any]) -> list[list[str]]:
    total = found["parameters"]
    parts: dict[str, int] = found["parameters_by_part"]
    counts = {NAMES.get(name, name): count for name, count in parts.items() if count}
    counts[N_("in all")] = total
    if found["active_parameters"] < total:
        counts[N_("of these at work on a token")] = found["active_parameters"]
    return [[name, f"{count:,}", f"{count / total:.1%}"] for name, count in counts.items()]


def size_text(size: int | float) -> str:
    """Bytes in the unit that suits them, with three digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.{0 if size > 99 else 2}f} TB"


def to_page(title: str, about: str, config: ModelConfig) -> str:
    """The sheet as a page of its own: the diagram, then the tables."""
    parts = [page.paragraph(about), to_html(diagram(config))]
    for name, header, rows in tables(config):
        parts += [page.heading(name), page.table(header, rows)]
    parts.append(page.paragraph(NOTE))
    return page.page(title, parts, STYLE + TABLES)
