"""Draws what `training.py` measured: one figure for each chapter, in English and Chinese."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind can tell apart.
BLUE, ORANGE, GREEN, RED, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#767676"
FONTS = "'Helvetica Neue', Arial, 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "groundup", "font.size": 10.5,
    "font.family": ["DejaVu Sans", "Noto Sans CJK SC"], "axes.titlesize": 11,
    "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": "#e6e6e6", "axes.axisbelow": True, "lines.linewidth": 2,
    "legend.frameon": False, "axes.edgecolor": "#888888", "figure.constrained_layout.use": True,
}  # fmt: skip
ZH = {
    "step": "步", "loss (nats per token)": "损失（奈特/词元）", "Loss": "损失",
    "The rate over the training": "训练过程中的学习率", "progress": "进度",
    "share of the peak rate": "占峰值的比例", "good": "合适：0.01，有预热",
    "no warm-up": "0.01，没有预热", "too large": "太大：0.1", "too small": "太小：0.0001",
    "cosine": "余弦", "wsd": "先平后降（wsd）", "inverse-sqrt": "平方根倒数",
    "temperature 1": "温度 1", "temperature 0.5": "温度 0.5", "temperature 2": "温度 2",
    "others": "其他", "probability of the next token": "下一个词元的概率", "after": "提示",
    "full": "全部参数", "replay": "全部参数，混入 1/4 旧文本", "lora": "LoRA，秩 8",
    "Answers: learned": "回答：学到的", "Stories: forgotten": "故事：忘掉的",
    "held-out loss (nats per token)": "未训练对话上的损失（奈特/词元）", "bits per byte": "每字节比特数",
    "How sure, and how often right": "有多大把握，又有多常答对", "probability it gives": "模型给出的概率",
    "share that is right": "实际答对的比例", "base": "读过 4000 个故事", "overfit": "背下 40 个故事",
    "One model, more questions": "同一个模型，题目越来越多", "questions": "题数", "accuracy": "准确率",
    "Rounding: the matrices": "舍入：矩阵的误差", "numbers that share a scale": "共用一个缩放系数的数的个数",
    "relative error": "相对误差", "8 bits": "8 比特", "4 bits": "4 比特",
    "Pruning: the text": "剪枝：对文本的影响", "share of weights set to zero": "设为零的权重比例",
    "magnitude": "按大小选", "wanda": "按大小 × 输入选（Wanda）", "All texts together": "所有文本合计",
    "texts at once": "同时处理的文本数", "tokens per second": "每秒词元数",
    "Each text waits": "每个文本的等待", "milliseconds per token": "每个词元的毫秒数",
}  # fmt: skip
EN = {
    "good": "good: 0.01, with warm-up", "no warm-up": "0.01, no warm-up", "too large": "too large: 0.1",
    "too small": "too small: 0.0001", "after": "after", "full": "all parameters",
    "replay": "all, and a quarter old text", "lora": "LoRA, rank 8", "base": "has read 4,000 stories",
    "overfit": "knows 40 stories by heart", "magnitude": "by size", "wanda": "by size × input (Wanda)",
}  # fmt: skip
Say = Callable[[str], str]


def draw(found: dict[str, Any], folder: Path, png: Path | None = None) -> None:
    """All figures, from what was measured, into `folder`; into `png` as well for looking at them."""
    for language, words in {"en": EN, "zh": ZH}.items():
        for name, figure in FIGURES.items():
            with mpl.rc_context(STYLE):
                made = figure(found[name], lambda text, words=words: words.get(text, text))
                svg = folder / f"{name}.{language}.svg"
                made.savefig(svg, metadata={"Date": None})
                svg.write_text(_with_fonts(svg.read_text(encoding="utf-8")), encoding="utf-8")
                if png is not None:
                    png.mkdir(parents=True, exist_ok=True)
                    made.savefig(png / f"{name}.{language}.png", dpi=110)
                plt.close(made)


def _with_fonts(svg: str) -> str:
    """The fonts of the reader instead of those of the machine that drew, and short numbers."""
    svg = re.sub(r"(font: (?:\d+ )?[\d.]+px) [^;\"]*", rf"\1 {FONTS}", svg)
    return re.sub(r"(\d+\.\d\d)\d{2,}", r"\1", svg)


def _two(height: float = 3.1) -> tuple[Figure, Axes, Axes]:
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, height))
    return figure, left, right


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set(title=title, xlabel=x, ylabel=y)


def pretraining(found: dict[str, Any], say: Say) -> Figure:
    figure, left, right = _two(3.4)
    colours = {"good": BLUE, "no warm-up": ORANGE, "too large": RED, "too small": GREY}
    for name, losses in found["curves"].items():
        smooth = np.convolve(losses, np.ones(5) / 5, "valid")
        left.plot(np.arange(len(smooth)) + 5, smooth, color=colours[name], label=say(name))
    _label(left, say("Loss"), say("step"), say("loss (nats per token)"))
    left.set_ylim(1.5, 7.6)
    left.legend(loc="upper right", fontsize=9, ncols=2, columnspacing=1)
    for (name, rates), colour in zip(found["rates"].items(), (BLUE, GREEN, ORANGE), strict=True):
        right.plot(found["progress"], rates, color=colour, label=say(name))
    _label(right, say("The rate over the training"), say("progress"), say("share of the peak rate"))
    right.set_ylim(0, 1.3)
    right.legend(loc="upper right", fontsize=9, ncols=3, columnspacing=1, handlelength=1.2)
    return figure


def generation(found: dict[str, Any], say: Say) -> Figure:
    ways = list(found["shares"])
    figure, panels = plt.subplots(1, len(ways), figsize=(8.6, 3.2), sharey=True, sharex=True)
    tokens = [f"“{token.strip(' ') or token}”" for token in found["tokens"]] + [say("others")]
    for axes, way in zip(panels, ways, strict=True):
        shares = [*found["shares"][way], found["others"][way]]
        colours = [BLUE] * (len(shares) - 1) + [GREY]
        axes.barh(range(len(shares)), shares, color=colours)
        for place, share in enumerate(shares):
            text = "0" if share < 0.0005 else f"{share:.2f}"
            axes.text(share + 0.02, place, text, va="center", fontsize=8.5)
        axes.set_title(say(way), fontsize=10)
        axes.grid(visible=False)
        axes.tick_params(left=False, bottom=False, labelbottom=False)
        axes.spines[["bottom", "left"]].set_visible(False)
    panels[0].set(yticks=range(len(tokens)), yticklabels=tokens, xlim=(0, 0.68))
    panels[0].invert_yaxis()
    figure.suptitle(f"{say('after')} “{found['prompt']}”", fontsize=10.5)
    figure.supxlabel(say("probability of the next token"), fontsize=10)
    return figure


def tuning(found: dict[str, Any], say: Say) -> Figure:
    figure, left, right = _two()
    for name, colour in {"full": RED, "replay": GREEN, "lora": BLUE}.items():
        steps, losses, bits = np.array(found[name]["curve"]).T
        left.plot(steps, losses, color=colour, label=say(name))
        right.plot(steps, bits, color=colour, label=say(name))
    _label(left, say("Answers: learned"), say("step"), say("held-out loss (nats per token)"))
    _label(right, say("Stories: forgotten"), say("step"), say("bits per byte"))
    left.set_ylim(bottom=0)
    right.set_ylim(bottom=0)
    left.legend(fontsize=9)
    return figure


def evaluation(found: dict[str, Any], say: Say) -> Figure:
    figure, left, right = _two(3.4)
    left.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    for name, colour in {"base": BLUE, "overfit": RED}.items():
        sure, right_share, low, high = np.array(found[name]["calibration"]).T
        bars = [right_share - low, high - right_share]
        left.errorbar(
            sure, right_share, bars, color=colour, marker="o", markersize=4, capsize=2, linewidth=1.5,
            label=say(name),
        )  # fmt: skip
    _label(
        left,
        say("How sure, and how often right"),
        say("probability it gives"),
        say("share that is right"),
    )
    left.set(xlim=(0, 1.02), ylim=(0, 1.02))
    left.legend(fontsize=9, loc="upper left")
    counts, shares, low, high = np.array(found["accuracy"]).T
    places = np.arange(len(counts))
    right.errorbar(
        places,
        shares,
        [shares - low, high - shares],
        color=BLUE,
        marker="o",
        capsize=4,
        linestyle="none",
    )
    right.set_xticks(places, [f"{count:.0f}" for count in counts])
    _label(right, say("One model, more questions"), say("questions"), say("accuracy"))
    right.set_ylim(0, 1)
    return figure


def compression(found: dict[str, Any], say: Say) -> Figure:
    figure, left, right = _two()
    for bits, colour in {"4": RED, "8": BLUE}.items():
        groups, errors, _ = np.array(found[bits]).T
        places = np.arange(len(groups))
        left.plot(places, errors, color=colour, marker="o", markersize=5, label=say(f"{bits} bits"))
        left.set_xticks(places, [f"{group:.0f}" for group in groups])
    for name, colour in {"magnitude": ORANGE, "wanda": GREEN}.items():
        shares, scores = np.array(found[name]).T
        right.plot(shares, scores, color=colour, marker="o", markersize=5, label=say(name))
    _label(
        left,
        say("Rounding: the matrices"),
        say("numbers that share a scale"),
        say("relative error"),
    )
    _label(
        right, say("Pruning: the text"), say("share of weights set to zero"), say("bits per byte")
    )
    left.set_ylim(bottom=0)
    right.set_ylim(bottom=0.66)
    left.legend(fontsize=9, loc="center right")
    right.legend(fontsize=9, loc="upper left")
    return figure


def serving(found: dict[str, Any], say: Say) -> Figure:
    figure, left, right = _two()
    sizes, speeds, waits = np.array(found["speed"]).T
    places = np.arange(len(sizes))
    for axes, figures in ((left, speeds), (right, waits)):
        axes.bar(places, figures, color=BLUE if axes is left else ORANGE, width=0.65)
        for place, figure_ in zip(places, figures, strict=True):
            axes.text(
                float(place), figure_, f"{figure_:,.0f}", ha="center", va="bottom", fontsize=9
            )
        axes.set_xticks(places, [f"{size:.0f}" for size in sizes])
        axes.grid(visible=False, axis="x")
    _label(left, say("All texts together"), say("texts at once"), say("tokens per second"))
    _label(right, say("Each text waits"), say("texts at once"), say("milliseconds per token"))
    return figure


FIGURES: dict[str, Callable[[dict[str, Any], Say], Figure]] = {
    "pretraining": pretraining, "generation": generation, "tuning": tuning,
    "evaluation": evaluation, "compression": compression, "serving": serving,
}  # fmt: skip
