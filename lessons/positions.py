"""Positions: how order gets into attention, and how rotary angles do it. 位置：词序怎样进入注意力。"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Positions · 位置")

with app.setup:
    import math
    import re

    import marimo as mo
    import torch
    from matplotlib.figure import Figure
    from torch import Tensor, nn

    from groundup.language import pick_language
    from groundup.model.config import ModelConfig
    from groundup.model.places import Places
    from groundup.model.positions import LearnedPosition, additive_position, rotation

    WIDTH, CONTEXT, FARTHEST = 64, 512, 255


@app.cell(hide_code=True)
def _():
    _own = "中文" if pick_language() == "zh" else "English"
    language = mo.ui.radio(["English", "中文"], value=_own, inline=True)
    language
    return (language,)


@app.cell(hide_code=True)
def _(language):
    def say(en: str, zh: str) -> str:
        """The text in the chosen language; Chinese lines are joined without a space."""
        return en if language.value == "English" else re.sub(r"(?<=[⺀-￯])\n *(?=[⺀-￯])", "", zh)

    return (say,)


@app.cell(hide_code=True)
def _(say):
    mo.md(
        say(
            """
            # Positions

            Attention compares a query with keys, and the product of two vectors does not know where they
            stand. Two ways to let it know:

            - **Added**: each position has a vector that is added to the embedding, of sines and cosines
              (Vaswani et al. 2017) or learned (GPT).
            - **Turned** (rotary, Su et al. 2021): the numbers of a query or key are taken in pairs, and pair
              i is turned by the angle position · θ^(−2i/width). The first pairs turn fast, the last slowly.

            One word asks, the same word answers, some tokens before it. The first figure has the score by
            their distance: once with the key at position 0, once with both moved on by the `shift`. Watch
            whether the two curves agree.
            """,
            """
            # 位置

            注意力拿查询与键相比，而两个向量的内积并不知道它们各在哪里。让它知道，有两种办法：

            - **相加**：每个位置有一个向量，加到嵌入上。这个向量由正弦和余弦组成（Vaswani 等 2017），
              或者是学出来的（GPT）。
            - **旋转**（rotary，苏剑林等 2021）：把查询或键的各个数两两配对，第 i 对转过的角度是
              位置 · θ^(−2i/宽度)。前面的对转得快，后面的转得慢。

            一个词提问，前面若干个词元处同一个词应答。第一幅图是分数随距离的变化：一条曲线的键在位置 0，
            另一条把查询和键一起往后移 `shift` 个位置。请看两条曲线是否重合。
            """,
        )
    )
    return


@app.cell
def _():
    scheme = mo.ui.dropdown(["rotary", "sinusoidal", "learned", "none"], value="rotary")
    theta = mo.ui.slider(
        steps=[100, 1_000, 10_000, 100_000, 1_000_000], value=10_000, show_value=True
    )
    shift = mo.ui.slider(0, 200, 5, value=100, show_value=True)
    position = mo.ui.slider(0, 64, value=6, show_value=True)
    stretch = mo.ui.dropdown(["none", "linear", "llama3", "yarn"], value="none")
    factor = mo.ui.slider(steps=[1, 2, 4, 8, 16], value=8, show_value=True)
    return factor, position, scheme, shift, stretch, theta


@app.cell(hide_code=True)
def _(factor, position, say, scheme, shift, stretch, theta):
    mo.md(
        say(
            f"""
            | | |
            |---|---|
            | how order gets in | {scheme} |
            | θ (`rope_theta`) | {theta} |
            | `shift`: move query and key on together | {shift} |
            | the position that the hands of the second figure show | {position} |
            | stretch the angles for longer texts (`rope_scaling.kind`) | {stretch} |
            | by this factor (`rope_scaling.factor`) | {factor} |
            """,
            f"""
            | | |
            |---|---|
            | 词序怎样进来 | {scheme} |
            | θ（`rope_theta`） | {theta} |
            | `shift`：查询和键一起后移 | {shift} |
            | 第二幅图的指针表示的位置 | {position} |
            | 为更长的文本拉伸角度（`rope_scaling.kind`） | {stretch} |
            | 拉伸的倍数（`rope_scaling.factor`） | {factor} |
            """,
        )
    )
    return


@app.cell
def _(factor, scheme, stretch, theta):
    def config_of(position: str, kind: str) -> ModelConfig:
        scaling = {"kind": kind, "factor": factor.value, "original_context_length": CONTEXT}
        sizes = {"d_model": WIDTH, "n_heads": 1, "context_length": CONTEXT}
        parts = {"position": position, "rope_theta": theta.value, "rope_scaling": scaling}
        return ModelConfig.parse(sizes | parts)

    config = config_of(scheme.value, stretch.value)
    added, turned = additive_position(config), rotation(config, "full")
    if isinstance(added, LearnedPosition):
        nn.init.normal_(added.weight, generator=torch.Generator().manual_seed(1))
    rotary, plain_rotary = (
        rotation(config_of("rotary", kind), "full") for kind in (stretch.value, "none")
    )
    return added, plain_rotary, rotary, turned


@app.cell
def _(added, shift, turned):
    def everywhere(word: Tensor) -> Tensor:
        """One word at each of the positions: (position, width)."""
        places = Places(torch.zeros(1, CONTEXT, dtype=torch.long))
        rows = added(word.expand(1, CONTEXT, WIDTH), places)
        return turned(rows[:, None], places)[0, 0].detach()

    word_at = everywhere(torch.randn(WIDTH, generator=torch.Generator().manual_seed(0)))

    def scores_by_distance(start: int) -> Tensor:
        """Key at `start`, query 0, 1, 2, … tokens later."""
        return word_at[start : start + FARTHEST + 1] @ word_at[start] / math.sqrt(WIDTH)

    at_start, shifted = scores_by_distance(0), scores_by_distance(shift.value)
    gap = (at_start - shifted).abs().max().item()
    return at_start, gap, shifted


@app.cell
def _(at_start, shift, shifted):
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(at_start.numpy(), lw=3, alpha=0.4, label="key at position 0")
    axes.plot(shifted.numpy(), lw=1, label=f"key at position {shift.value}")
    axes.set(xlabel="distance of query and key (tokens)", ylabel="score q · k / √d")
    axes.legend()
    figure
    return


@app.cell(hide_code=True)
def _(gap, say):
    mo.md(
        say(
            f"The curves differ by at most **{gap:.2g}**.",
            f"两条曲线最多相差 **{gap:.2g}**。",
        )
    )
    return


@app.cell
def _(plain_rotary, position, rotary):
    half = WIDTH // 2
    cos, sin = rotary.turn(torch.arange(position.value + 1), CONTEXT)
    clocks = Figure(figsize=(7, 2), layout="constrained")
    for place, pair in enumerate([0, 2, 4, 8, 16, 31]):
        clock = clocks.add_subplot(1, 6, place + 1, aspect="equal")
        x, y = cos[:, pair].numpy(), sin[:, half + pair].numpy()
        clock.plot(x, y, "o", ms=3, alpha=0.25)
        clock.plot([0, x[-1]], [0, y[-1]], lw=2)
        clock.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), xticks=[], yticks=[], title=f"pair {pair}")

    waves = Figure(figsize=(7, 3.2), layout="constrained")
    lengths = waves.subplots()
    for rotation_of, label, style in (
        (plain_rotary, "as learned", "o"),
        (rotary, "stretched", "."),
    ):
        lengths.semilogy((2 * math.pi / rotation_of.frequency).numpy(), style, label=label)
    lengths.axhline(CONTEXT, color="black", lw=0.8, ls=":", label=f"context of {CONTEXT} tokens")
    lengths.set(xlabel="pair", ylabel="tokens for one turn")
    lengths.legend()
    mo.vstack([clocks, waves])
    return


@app.cell(hide_code=True)
def _(say):
    mo.accordion(
        {
            say(
                "Move `shift`. With which schemes does the score depend on the distance alone?",
                "移动 `shift`。哪些方案的分数只取决于距离？",
            ): say(
                """
                With rotary (and with none, where it depends on nothing): turning both vectors by the same
                angle leaves their product as it is. With added positions, position vectors meet the word's
                own numbers in the product, and what comes of that depends on where one stands; the model
                has to learn to see past it.
                """,
                """
                旋转位置（以及 none，那时分数与什么都无关）：两个向量转过同样的角度，内积不变。相加的位置向量
                会在内积里与词本身的数相乘，结果取决于所在之处；模型得自己学会不受它影响。
                """,
            ),
            say(
                "Raise θ from 100 to 1,000,000. Which pairs slow down, and which do not?",
                "把 θ 从 100 调到 1,000,000。哪些对变慢，哪些不变？",
            ): say(
                """
                Pair 0 always turns by one radian a token; the last one slows down most. Fast pairs tell
                neighbours apart, slow ones far places; Llama 3 took θ = 500,000 for its longer texts.
                """,
                """
                第 0 对总是每个词元转一弧度；最后一对慢得最多。快的对分辨相邻的位置，慢的对分辨远处的位置；
                Llama 3 为了更长的文本取 θ = 500,000。
                """,
            ),
            say(
                "Stretch by 8, `linear` and then `llama3` or `yarn`. Which pairs do these leave alone?",
                "拉伸 8 倍，先用 `linear`，再用 `llama3` 或 `yarn`。后两种不动哪些对？",
            ): say(
                """
                Those that turn many times within the learned context: they have shown every angle in
                training, and what tells neighbours apart stays as it was. Those that do not finish one turn
                would come to angles that were never seen; they are stretched whole. `linear` stretches all,
                and the fastest hand moves only an eighth of a radian a token.
                """,
                """
                在训练时的上下文里转了许多圈的那些对：所有角度都在训练中出现过，分辨相邻位置的能力保持原样。
                一圈都转不完的对，遇到更长的文本会转到从未见过的角度，因此整个拉伸。`linear` 则全部拉伸，
                最快的指针每个词元也只转八分之一弧度。
                """,
            ),
        }
    )
    return


@app.cell(hide_code=True)
def _(say):
    mo.md(
        say(
            """
            Read on: chapter 3 of the guide, `docs/en/chapters/03-embedding.md`; the code,
            `src/groundup/model/positions.py`.
            """,
            """
            接着读：指南第 3 章 `docs/zh/chapters/03-embedding.md`；代码 `src/groundup/model/positions.py`。
            """,
        )
    )
    return


if __name__ == "__main__":
    app.run()
