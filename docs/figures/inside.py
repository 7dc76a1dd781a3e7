"""Draw the figures of the guide's chapters on the inside of a model, from a model that groundup made.

    python docs/figures/inside.py               # trains a model first: about two minutes
    python docs/figures/inside.py --model DIR   # or takes one

The guide's are of step 731 of this run, by which it had read 1.5 million tokens:

    groundup run quickstart --data.world_documents 18000 --pretrain.train.steps 900

Writes `NAME.en.svg` and `NAME.zh.svg` beside this file. Text stays text in them: the reader's own fonts
draw it.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from groundup import GPT, Tokenizer, load, preset
from groundup.evaluate.inside import attention_map, logit_lens, surprise
from groundup.model.config import ModelConfig
from groundup.model.cost import parameters
from groundup.model.positions import Rotary, SinusoidalPosition, frequencies
from groundup.recipe.run import run_recipe
from groundup.recipe.schema import read_recipe
from groundup.recipe.watch import Watcher
from groundup.world.documents import spaced, training_documents
from groundup.world.words import LOOKS, PEOPLE, PLACES, THINGS, Word

LANGUAGES = ("en", "zh")
BLUE, ORANGE, GREEN, RED, GREY = "#2f6db3", "#e07b28", "#3a9a5b", "#c44550", "#8a8f98"
PALE = ("#cfe0f3", "#fbe0c8", "#d3ecda", "#f3d3d6")
SHADES = "Blues"
FONTS = (
    "system-ui, -apple-system, 'Segoe UI', 'PingFang SC', 'Microsoft YaHei', "
    "'Noto Sans CJK SC', 'Noto Sans SC', sans-serif"
)
# What is measured, so that text gets its room; what is written into the files is `FONTS`.
MEASURED = ["DejaVu Sans", "Noto Sans CJK JP"]

CHAT = {
    "en": ("Mia is in the garden. Tom has a red ball. Where is Mia?", "Mia is in the garden."),
    "zh": ("小美在花园。小明有一个红色的球。小美在哪里？", "小美在花园。"),
}
TO_CUT = {
    "en": "Mia is in the garden. Tom has a red ball.",
    "zh": "小美在花园。小明有一个红色的球。",
}
SIZES = (261, 300, 400, 600, 800, 1100, 1536, 2048)
SHOWN_SIZES = (261, 400, 600, 1536)

Words = dict[str, str]
"""A label in each language."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="figures to draw (default: all)")
    parser.add_argument("--model", type=Path, help="model directory (default: train one)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--png", action="store_true", help="draw PNG files, to look at")
    parsed = parser.parse_args()
    matplotlib.use("agg")
    style(parsed.png)
    model, tokenizer = load(parsed.model or train())
    for name, draw in figures(model, tokenizer).items():
        if parsed.names and name not in parsed.names:
            continue
        for language in LANGUAGES:
            figure = draw(language)
            write(figure, parsed.out / f"{name}.{language}.{'png' if parsed.png else 'svg'}")
            pyplot.close(figure)


def figures(model: GPT, tokenizer: Tokenizer) -> dict[str, Callable[[str], Figure]]:
    """What draws each figure, by its name."""
    return {
        "surprise": lambda language: draw_surprise(model, tokenizer, language),
        "tokens": draw_tokens,
        "vocabulary": draw_vocabulary,
        "positions": draw_positions,
        "embedding": lambda language: draw_embedding(model, tokenizer, language),
        "attention": lambda language: draw_attention(model, tokenizer, language),
        "stream": lambda language: draw_stream(model, tokenizer, language),
        "lens": lambda language: draw_lens(model, tokenizer, language),
        "parameters": draw_parameters,
    }


# What is drawn from


def train() -> Path:
    """A small model of the sample world; where it is trained already, nothing is done again."""
    short = {
        "data": {"world_documents": 5000},
        "pretrain": {"train": {"steps": 220, "keep_checkpoints": 1}},
        "finetune": {"train": {"steps": 1}},
    }
    run_recipe(read_recipe("quickstart", short), Path("runs/figures"), Watcher())
    return Path("runs/figures/pretrain/model")


@cache
def learned(vocab_size: int) -> Tokenizer:
    """A vocabulary of the sample world."""
    texts = (spaced(document.text) for document in training_documents(0, 2000))
    special = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"]
    return Tokenizer.train_from_iterator(texts, vocab_size, special, processes=1)


def conversation(tokenizer: Tokenizer, language: str) -> tuple[list[int], list[int]]:
    """The ids of a question in the chat template, and those of its answer."""
    question, answer = CHAT[language]
    asked = tokenizer.encode_chat([{"role": "user", "content": question}], True)
    return asked, tokenizer.encode(f" {answer}")


def shown(text: str) -> str:
    """A token as a label: its space seen, a special token in short."""
    text = text.replace("<|", "‹").replace("|>", "›")
    return text.replace(" ", "␣") if text.strip() else "␣"


def labels(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """One label for each token; a space before a word is left out."""
    return [shown(text.strip() or text) for text in tokenizer.pieces(ids)]


# The figures


def draw_surprise(model: GPT, tokenizer: Tokenizer, language: str) -> Figure:
    """Chapter 1: how unexpected each token of a conversation is."""
    asked, answer = conversation(tokenizer, language)
    ids = [*asked, *answer, *tokenizer.encode("<|end|>")]
    bits = surprise(model, ids).numpy()
    names = labels(tokenizer, ids)[1:]
    figure, axes = canvas(8.6, 3.4)
    colors = [RED if value > 4 else ORANGE if value > 1 else GREEN for value in bits]
    axes.bar(range(len(bits)), bits, color=colors, width=0.8)
    axes.axvspan(len(asked) - 1.5, len(bits) - 0.5, color=GREY, alpha=0.1, linewidth=0)
    uniform = math.log2(model.config.vocab_size)
    axes.axhline(uniform, color=GREY, linestyle="--", linewidth=1)
    said = {
        "en": f"guessing blindly among {model.config.vocab_size:,}: {uniform:.1f} bits",
        "zh": f"在 {model.config.vocab_size:,} 个词元里瞎猜：{uniform:.1f} 比特",
    }
    axes.text(-0.4, uniform + 0.15, said[language], va="bottom", color=GREY)
    reply = {"en": "the answer", "zh": "回答"}[language]
    middle = (len(asked) + len(bits)) / 2 - 1
    axes.text(middle, uniform + 0.15, reply, ha="center", va="bottom", color=GREY)
    for i, value in enumerate(bits):
        axes.text(i, value + 0.12, f"{value:.1f}", ha="center", va="bottom", fontsize=8)
    turned = {"rotation": 55, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(bits)), names, **turned)
    axes.set_xlim(-0.6, len(bits) - 0.4)
    axes.set_ylim(0, max(uniform, bits.max()) + 1.2)
    axes.set_ylabel({"en": "surprise, −log₂ p (bits)", "zh": "意外程度 −log₂ p（比特）"}[language])
    axes.tick_params(axis="x", length=0)
    return figure


def draw_tokens(language: str) -> Figure:
    """Chapter 2: one sentence, cut by vocabularies of several sizes. A byte is as wide everywhere."""
    text = TO_CUT[language]
    total = len(text.encode())
    figure, axes = canvas(8.6, 3.0)
    for row, size in enumerate(SHOWN_SIZES):
        tokenizer = learned(size)
        ids = tokenizer.encode(text)
        left = 0
        for i, id_ in enumerate(ids):
            token = tokenizer.token_bytes(id_)
            color = PALE[i % len(PALE)]
            axes.add_patch(box(left, -row, len(token), color, total / 46))
            name = token_label(token)
            axes.text(
                left + len(token) / 2, -row, name, ha="center", va="center",
                fontsize=5.5 if is_part(token) else 8,
            )  # fmt: skip
            left += len(token)
        said = {"en": f"{size:,} ids\n{len(ids)} tokens", "zh": f"词表 {size:,}\n{len(ids)} 个词元"}
        axes.text(-0.8, -row, said[language], ha="right", va="center", color="#444")
    axes.set_xlim(-0.2, total + 0.2)
    axes.set_ylim(0.6 - len(SHOWN_SIZES), 0.6)
    axes.axis("off")
    return figure


def box(left: float, row: float, width: float, color: str, unit: float) -> FancyBboxPatch:
    gap = 0.06 * unit
    return FancyBboxPatch(
        (left + gap, row - 0.34), width - 2 * gap, 0.68, facecolor=color, edgecolor="none",
        boxstyle=f"round,pad=0,rounding_size={0.12 * unit}", mutation_aspect=1 / unit,
    )  # fmt: skip


def token_label(token: bytes) -> str:
    """A token's text, or its bytes where it is a part of a character."""
    return token.hex(" ") if is_part(token) else token.decode().replace(" ", "␣")


def is_part(token: bytes) -> bool:
    """Whether a token is a part of a character."""
    try:
        token.decode()
    except UnicodeDecodeError:
        return True
    return False


def draw_vocabulary(language: str) -> Figure:
    """Chapter 2: bytes for each token, in text that the vocabularies were not learned from."""
    named = {"en": {"en": "English", "zh": "Chinese"}, "zh": {"en": "英文", "zh": "中文"}}[language]
    figure, axes = canvas(6.4, 3.4)
    for of, color in zip(LANGUAGES, (BLUE, ORANGE), strict=True):
        documents = training_documents(1, 300, languages=(of,))
        text = "".join(content for d in documents for _, content in d.turns)
        ratio = [len(text.encode()) / len(learned(size).encode(text)) for size in SIZES]
        axes.plot(SIZES, ratio, marker="o", color=color, markersize=4)
        axes.text(SIZES[-1] * 1.03, ratio[-1], named[of], color=color, va="center")
    axes.set_xscale("log")
    axes.set_xticks([261, 400, 600, 1000, 2000], ["261", "400", "600", "1,000", "2,000"])
    axes.minorticks_off()
    axes.set_xlim(245, 2500)
    axes.set_ylim(0, None)
    axes.grid(alpha=0.25)
    axes.set_xlabel({"en": "ids in the vocabulary", "zh": "词表大小"}[language])
    axes.set_ylabel({"en": "bytes for each token", "zh": "每个词元的字节数"}[language])
    return figure


def draw_positions(language: str) -> Figure:
    """Chapter 3: the sinusoidal table, and how a rotary product falls with the distance."""
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(8.6, 3.4), layout="constrained", width_ratios=(1, 1.15)
    )
    config = ModelConfig(d_model=64, context_length=100, position="sinusoidal", n_heads=4)
    table = SinusoidalPosition(config).table.numpy()
    shades = left.imshow(table, aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1, interpolation="none")
    left.set_xlabel(
        {"en": "number of the vector (of 64)", "zh": "向量的第几个数（共 64 个）"}[language]
    )
    left.set_ylabel({"en": "position", "zh": "位置"}[language])
    left.set_title({"en": "sinusoidal: added", "zh": "正弦位置：加上去"}[language])
    figure.colorbar(shades, ax=left, fraction=0.05, ticks=[-1, 0, 1])
    width, far = 32, 100
    cos, _ = Rotary(frequencies(width, 10_000.0)).turn(torch.arange(far), far)
    waves = cos[:, : width // 2].numpy()
    for pair, color in ((0, "#b9cfe8"), (4, "#7ea9d6"), (8, BLUE)):
        said = {"en": f"pair {pair}", "zh": f"第 {pair} 对"}[language]
        right.plot(waves[:, pair], color=color, linewidth=1.1, label=said)
    right.plot(waves.mean(axis=1), color=RED, linewidth=2.2,
               label={"en": "mean of all 16", "zh": "16 对的平均"}[language])  # fmt: skip
    right.set_xlabel({"en": "distance in tokens", "zh": "相距多少个词元"}[language])
    right.set_ylabel({"en": "product of query and key", "zh": "查询与键的内积"}[language])
    right.set_title({"en": "rotary: turned", "zh": "旋转位置：转过去"}[language])
    right.set_ylim(-1.1, 1.45)
    right.legend(
        frameon=False, ncols=4, loc="upper center", fontsize=8, handlelength=1.2, columnspacing=1
    )
    bare(right)
    return figure


def draw_embedding(model: GPT, tokenizer: Tokenizer, language: str) -> Figure:
    """Chapter 3: the vectors of the world's words in a plane. It is laid through the means of every second
    word of each kind and shows the others, which had no part in choosing it."""
    kinds = {"en": ("people", "things", "places", "looks"), "zh": ("人", "东西", "地方", "样子")}
    table = model.embedding.weight.detach().double().numpy()
    found = [single_tokens(tokenizer, words, language) for words in (PEOPLE, THINGS, PLACES, LOOKS)]
    means = np.stack([table[list(ids.values())[::2]].mean(axis=0) for ids in found])
    middle = means.mean(axis=0)
    plane = np.linalg.svd(means - middle, full_matrices=False)[2][:2]
    figure, axes = canvas(8, 4.6)
    for ids, kind, color in zip(found, kinds[language], (RED, GREEN, BLUE, ORANGE), strict=True):
        names = list(ids)[1::2]
        places = (table[[ids[name] for name in names]] - middle) @ plane.T
        axes.scatter(*places.T, s=16, color=color, label=kind)
        for name, place in zip(names, places, strict=True):
            axes.annotate(name, place, xytext=(3, 2), textcoords="offset points", fontsize=7,
                          color=color)  # fmt: skip
    axes.legend(frameon=False, loc="best")
    axes.set_xticks([])
    axes.set_yticks([])
    return figure


def single_tokens(tokenizer: Tokenizer, words: Sequence[Word], language: str) -> dict[str, int]:
    """The words that are one token each, with its id."""
    space = " " if language == "en" else ""
    texts = [word.in_language(language) for word in words]
    ids = {text: tokenizer.encode(space + text) for text in texts}
    return {text: of_text[0] for text, of_text in ids.items() if len(of_text) == 1}


def draw_attention(model: GPT, tokenizer: Tokenizer, language: str) -> Figure:
    """Chapter 4: where each head looks, and one of them large."""
    asked, answer = conversation(tokenizer, language)
    ids = [*asked, *answer]
    layers = range(model.config.n_layers)
    maps = torch.stack([attention_map(model, ids, layer) for layer in layers]).numpy()
    layer, head = clearest(maps, ids, len(asked))
    figure = pyplot.figure(figsize=(9.4, 4.9), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(1, 1.25))
    small, large = halves
    grid = small.subplots(len(layers), maps.shape[1])
    for i in layers:
        for j in range(maps.shape[1]):
            thumb(grid[i, j], maps[i, j], (i, j) == (layer, head))
    for j in range(maps.shape[1]):
        grid[0, j].set_title({"en": f"head {j}", "zh": f"头 {j}"}[language], fontsize=9)
    for i in layers:
        grid[i, 0].set_ylabel({"en": f"layer {i}", "zh": f"层 {i}"}[language], fontsize=9)
    axes = large.subplots()
    names = labels(tokenizer, ids)
    axes.imshow(np.sqrt(maps[layer, head]), cmap=SHADES, vmin=0, vmax=1, interpolation="none")
    axes.set_xticks(range(len(ids)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(ids)), names, fontsize=7)
    axes.tick_params(length=0)
    said = {
        "en": f"layer {layer}, head {head}: a row looks at the columns",
        "zh": f"层 {layer}、头 {head}：每一行看向各列",
    }
    axes.set_title(said[language], fontsize=9)
    for side in axes.spines.values():
        side.set_visible(False)
    return figure


def clearest(maps: np.ndarray, ids: Sequence[int], asked: int) -> tuple[int, int]:
    """The layer and head that look most at where the question has the very token that the answer says
    next."""
    looked = np.zeros(maps.shape[:2])
    for i in range(asked - 1, len(ids) - 1):
        there = [j for j in range(asked) if ids[j] == ids[i + 1]]
        looked += maps[:, :, i, there].sum(axis=-1)
    layer, head = np.unravel_index(looked.argmax(), looked.shape)
    return int(layer), int(head)


def thumb(axes: Axes, weights: np.ndarray, marked: bool) -> None:
    axes.imshow(np.sqrt(weights), cmap=SHADES, vmin=0, vmax=1, interpolation="none")
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(True)
        side.set_color(RED if marked else "#cccccc")
        side.set_linewidth(1.8 if marked else 0.6)


def draw_stream(model: GPT, tokenizer: Tokenizer, language: str) -> Figure:
    """Chapter 5: how long the stream's vectors are, and how long what each part adds."""
    ids = [i for part in conversation(tokenizer, language) for i in part]
    stream, added = lengths(model, ids)
    figure, axes = canvas(8.6, 3.4)
    steps = range(len(stream))
    axes.plot(steps, stream, color=BLUE, marker="o", markersize=4,
              label={"en": "the stream", "zh": "残差流"}[language])  # fmt: skip
    for offset, color, said in (
        (0, ORANGE, {"en": "attention adds", "zh": "注意力加上的"}),
        (1, GREEN, {"en": "feed-forward adds", "zh": "前馈网络加上的"}),
    ):
        axes.bar(list(steps)[1 + offset :: 2], added[offset::2], color=color, width=0.55,
                 label=said[language])  # fmt: skip
    parts = {"en": ("attention", "feed-forward"), "zh": ("注意力", "前馈")}[language]
    names = [{"en": "embedding", "zh": "词嵌入"}[language]]
    names += [f"{part}\n{layer}" for layer in range(len(model.blocks)) for part in parts]
    axes.set_xticks(steps, names, fontsize=8)
    axes.set_ylabel({"en": "root mean square", "zh": "均方根"}[language])
    axes.set_ylim(0, None)
    axes.legend(frameon=False, loc="upper left")
    return figure


@torch.inference_mode()
def lengths(model: GPT, ids: Sequence[int]) -> tuple[list[float], list[float]]:
    """The root mean square of the stream, from the embedding on and after each part, and of what each
    part of each block adds: attention, feed-forward, attention, …"""
    parts: list[torch.Tensor] = []
    hooks = [
        part.register_forward_hook(lambda _, given, x: parts.append(x[0]))
        for block in model.blocks
        for part in (block.get_submodule("attention"), block.get_submodule("feed_forward"))
    ]
    row = torch.tensor([list(ids)])
    try:
        model.hidden(row)
    finally:
        for hook in hooks:
            hook.remove()
    x = model.embedding(row)[0] * model.embedding_scale
    stream = [x]
    for added in parts:
        stream.append(stream[-1] + added)
    return [size(x) for x in stream], [size(x) for x in parts]


def size(x: torch.Tensor) -> float:
    """The root mean square of each position's numbers, averaged over positions."""
    return x.square().mean(-1).sqrt().mean().item()


def draw_lens(model: GPT, tokenizer: Tokenizer, language: str) -> Figure:
    """Chapter 6: what the model would say after each block, at each place of an answer."""
    asked, answer = conversation(tokenizer, language)
    told = [logit_lens(model, [*asked, *answer[:i]]) for i in range(len(answer) + 1)]
    stages = torch.stack(told, dim=1)
    best = stages.max(dim=-1)
    figure, axes = canvas(8.4, 3.3)
    axes.imshow(best.values.numpy(), cmap=SHADES, vmin=0, vmax=1.15, aspect="auto")
    for row in range(stages.shape[0]):
        for column in range(stages.shape[1]):
            p = best.values[row, column].item()
            token = tokenizer.token_bytes(int(best.indices[row, column]))
            text = shown(token_label(token).strip("␣") or " ")
            axes.text(column, row, f"{text}\n{p:.2f}", ha="center", va="center", fontsize=8,
                      color="white" if p > 0.6 else "black")  # fmt: skip
    names = labels(tokenizer, [asked[-1], *answer])
    axes.set_xticks(range(len(names)), names)
    first = {"en": "embedding", "zh": "词嵌入"}[language]
    after = {"en": "after block", "zh": "第 {} 块之后"}[language]
    rows = [
        after.format(i) if language == "zh" else f"{after} {i}" for i in range(len(model.blocks))
    ]
    axes.set_yticks(range(len(rows) + 1), [first, *rows])
    axes.set_xlabel({"en": "the token read last", "zh": "刚读到的词元"}[language])
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    return figure


def draw_parameters(language: str) -> Figure:
    """Chapter 6: in which parts the parameters lie, of a small, a middling and a large model."""
    models = {
        "nano": preset("nano", vocab_size=1536),
        "GPT-2 small": preset("gpt-2-small"),
        "GPT-2 XL": preset("gpt-2-xl"),
        "GPT-3": preset("gpt-3-175b"),
    }
    parts = {
        "embedding": ({"en": "embedding and head", "zh": "词嵌入和输出头"}, BLUE),
        "position": ({"en": "positions", "zh": "位置"}, GREY),
        "attention": ({"en": "attention", "zh": "注意力"}, ORANGE),
        "feed_forward": ({"en": "feed-forward", "zh": "前馈网络"}, GREEN),
    }
    figure, axes = canvas(8, 2.9)
    names = []
    for row, (name, config) in enumerate(models.items()):
        counts = parameters(config)
        counts["embedding"] += counts["head"]
        total = sum(counts.values()) - counts["head"]
        names.append(f"{name}\n{short(total, language)}")
        left = 0.0
        for part, (said, color) in parts.items():
            share = counts[part] / total
            label = said[language] if row == 0 else None
            axes.barh(row, share, left=left, color=color, label=label, height=0.62)
            if share > 0.04:
                axes.text(left + share / 2, row, f"{share:.0%}", ha="center", va="center",
                          color="white", fontsize=9)  # fmt: skip
            left += share
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xticks([])
    axes.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axes.spines["bottom"].set_visible(False)
    return figure


def short(count: int, language: str) -> str:
    """A count as one says it."""
    steps = {"en": ((1e9, " billion"), (1e6, " million")), "zh": ((1e8, " 亿"), (1e4, " 万"))}
    for unit, name in steps[language]:
        if count >= unit:
            return (
                f"{count / unit:.3g}{name}" if count < 1e3 * unit else f"{count / unit:,.0f}{name}"
            )
    return f"{count:,}"


# How it is drawn


def style(is_png: bool) -> None:
    pyplot.rcParams.update({
        "svg.fonttype": "none", "svg.hashsalt": "groundup", "font.family": MEASURED, "font.size": 9,
        "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#999999",
        "axes.unicode_minus": False, "axes.titlesize": 10, "figure.dpi": 110 if is_png else 72,
    })  # fmt: skip


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of so many inches with one drawing area."""
    return pyplot.subplots(figsize=(width, height), layout="constrained")


def bare(axes: Axes) -> None:
    axes.grid(alpha=0.25)
    axes.axhline(0, color="#999999", linewidth=0.8)


def write(figure: Figure, path: Path) -> None:
    """Save a figure; in an SVG the fonts that it was measured with give way to the reader's."""
    metadata: Any = {"Date": None, "Creator": None} if path.suffix == ".svg" else None
    figure.savefig(path, metadata=metadata)
    if path.suffix == ".svg":
        measured = ", ".join(f"'{name}'" for name in MEASURED)
        text = path.read_text(encoding="utf-8").replace(measured, FONTS)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
