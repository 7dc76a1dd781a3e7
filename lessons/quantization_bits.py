"""Bits of quantization: what rounding a matrix to 8 or 4 bits costs. 量化位数与代价。"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Bits of quantization · 量化位数")

with app.setup:
    import copy
    import re

    import marimo as mo
    import numpy as np
    import torch
    from matplotlib.figure import Figure
    from torch import Tensor

    from groundup import GPT, Tokenizer, preset
    from groundup.compress.quantize import quantize_by
    from groundup.data.shards import Tokens
    from groundup.data.windows import WindowConfig, Windows
    from groundup.evaluate.language import score_language
    from groundup.language import pick_language
    from groundup.model.quantized import quantize, quantize_step_by_step
    from groundup.train.config import TrainConfig
    from groundup.train.loop import start_run, train
    from groundup.train.objectives import next_token
    from groundup.world.documents import training_documents

    WIDTH = 256
    SCALE_BITS = {
        8: 32,
        4: 16 + 4,
    }  # of a group: in 8 bits a float; in 4 bits a bfloat16 and a zero


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
            # Bits of quantization

            A number in full precision takes 32 bits. Quantized, it is a small whole number, its code, times a
            scale that it shares with its group: in 8 bits the codes run from −127 to 127, in 4 bits there are
            16 of them. The largest number of a group decides how coarse the steps are for all.

            First, one row of a matrix: 256 random numbers, one of which you can make an outlier,
            rounded by `groundup.model.quantized.quantize_step_by_step`. Watch the error of the others.
            """,
            """
            # 量化位数

            全精度的一个数占 32 比特。量化之后，它是一个小整数（编码）乘以一个由一组数共用的缩放系数：
            8 比特的编码从 −127 到 127，4 比特的编码有 16 个。一组里最大的数，决定了全组的步长有多粗。

            先看矩阵的一行：256 个随机数，其中一个可以调成离群值，用
            `groundup.model.quantized.quantize_step_by_step` 取整。请看其他数的误差。
            """,
        )
    )
    return


@app.cell
def _():
    bits = mo.ui.radio({"8": 8, "4": 4}, value="4", inline=True)
    group = mo.ui.slider(steps=[16, 32, 64, 128, 256], value=64, show_value=True)
    outlier = mo.ui.slider(1, 50, value=1, show_value=True)
    return bits, group, outlier


@app.cell(hide_code=True)
def _(bits, group, outlier, say):
    mo.md(
        say(
            f"""
            | | |
            |---|---|
            | bits of a number | {bits} |
            | numbers that share a scale | {group} |
            | number 100 is multiplied by | {outlier} |
            """,
            f"""
            | | |
            |---|---|
            | 一个数的比特数 | {bits} |
            | 多少个数共用一个缩放系数 | {group} |
            | 第 100 个数乘以 | {outlier} |
            """,
        )
    )
    return


@app.cell
def _(bits, group, outlier):
    row = torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(2))
    row[0, 100] = 2.0 * outlier.value
    rounded_row = quantize_step_by_step(row, bits.value, group.value)
    errors = (rounded_row - row)[0]
    others = torch.arange(WIDTH) != 100
    error = errors[others].square().mean().sqrt().item()
    size = bits.value + SCALE_BITS[bits.value] / group.value
    return error, errors, others, rounded_row, row, size


@app.cell
def _(errors, group, others, rounded_row, row):
    figure = Figure(figsize=(7.5, 3.4), layout="constrained")
    stairs, places = figure.subplots(1, 2)
    stairs.plot(row[0, others].numpy(), rounded_row[0, others].numpy(), ".", ms=4)
    stairs.set(xlabel="number", ylabel="rounded", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))
    places.plot(errors.numpy(), ".", ms=4)
    for start in range(0, WIDTH, group.value):
        places.axvline(start - 0.5, color="black", lw=0.4)
    places.set(xlabel="place in the row (lines: groups)", ylabel="error")
    figure
    return


@app.cell(hide_code=True)
def _(error, say, size):
    mo.md(
        say(
            f"Error of the other 255 numbers (root mean square): **{error:.4f}**, where the numbers "
            f"themselves are about 1. With its share of the scale a number takes **{size:.2f}** bits.",
            f"其余 255 个数的误差（均方根）：**{error:.4f}**，而这些数本身的大小约为 1。"
            f"连同分摊的缩放系数，一个数占 **{size:.2f}** 比特。",
        )
    )
    return


@app.cell(hide_code=True)
def _(say):
    mo.md(
        say(
            """
            ## In a model

            Does it matter? A small model is trained here for a few seconds, then the matrices of its blocks
            are rounded: each number to the nearest (`quantize`), or with GPTQ (Frantar et al. 2022), which
            looks at text and lets the numbers still to be rounded make up for the error of those before
            (`quantize_by`).
            """,
            """
            ## 在模型里

            这要紧吗？这里用几秒钟训练一个小模型，再把各层的矩阵取整：每个数取最近的值（`quantize`）；
            或用 GPTQ（Frantar 等 2022）：它要看一些文本，让还没取整的数去弥补前面各数的误差（`quantize_by`）。
            """,
        )
    )
    return


@app.function
def learned_model() -> tuple[GPT, Windows]:
    """A model of 113,000 weights that has read texts of the sample world, and their windows."""
    texts = [document.text for document in training_documents(0, 500, languages=("en",))]
    tokenizer = Tokenizer.train_from_iterator(texts, 500)
    ids = [id_ for each in texts for id_ in tokenizer.encode(f"{each}<|endoftext|>")]
    text = Tokens([np.array(ids)], np.array([0]), sum(map(len, texts)))
    windows = Windows(text, 32, WindowConfig(order="random"))

    torch.manual_seed(0)
    sizes = {"d_model": 64, "n_layers": 1, "n_heads": 2, "context_length": 32}
    model = GPT(preset("nano", vocab_size=tokenizer.vocab_size, **sizes))
    config = TrainConfig(steps=100, optimizer="adamw", learning_rate=1e-2, device="cpu")
    train(start_run(model, config), lambda n: windows.batch(n, 8), next_token)
    return model.eval(), windows


@app.function
def bits_per_byte(model: GPT, windows: Windows) -> float:
    """On windows of the same texts, drawn anew."""
    asked = (windows[n] for n in range(10_000, 10_160))
    return score_language(model, asked, windows.tokens.bytes_per_token).bits_per_byte


@app.cell
def _():
    model, windows = learned_model()
    plain = bits_per_byte(model, windows)
    return model, plain, windows


@app.cell
def _(model, plain, windows):
    calibration: Tensor = torch.from_numpy(windows.batch(500, 32)[:, :-1])
    variants = {
        "8 bits": quantize(copy.deepcopy(model), 8),
        "4 bits": quantize(copy.deepcopy(model), 4),
        "4 bits, GPTQ": quantize_by(copy.deepcopy(model), 4, calibration),
    }
    added = {name: bits_per_byte(variant, windows) - plain for name, variant in variants.items()}
    bars = Figure(figsize=(6, 2), layout="constrained")
    axes = bars.subplots()
    axes.barh(list(added), list(added.values()))
    axes.invert_yaxis()
    axes.set_xlabel("bits per byte more than in full precision")
    bars
    return (added,)


@app.cell(hide_code=True)
def _(added, plain, say):
    _rows = "\n".join(
        f"| {name} | {plain + more:.4f} | {more:+.4f} |" for name, more in added.items()
    )
    mo.md(
        say("| | bits per byte | change |", "| | 每字节比特数 | 变化 |")
        + f"\n|---|---|---|\n| 32 bits | {plain:.4f} | |\n{_rows}"
    )
    return


@app.cell(hide_code=True)
def _(say):
    mo.accordion(
        {
            say(
                "Multiply number 100 by 50. Which numbers suffer, in 4 bits with groups of 256 and of 16?",
                "把第 100 个数乘以 50。4 比特时，一组 256 个和一组 16 个，哪些数遭殃？",
            ): say(
                """
                Those of its group: one step is now larger than they are, and nearly all of them become 0. With
                groups of 256 that is the whole row, with groups of 16 only the fifteen beside it.
                """,
                """
                同组的数：一步现在比它们本身还大，几乎都成了 0。一组 256 个时，整行都遭殃；
                一组 16 个时，只有旁边的十五个。
                """,
            ),
            say(
                "What do small groups cost? Compare the bits of a number at 16, 64 and 256.",
                "小组的代价是什么？比较一组 16、64、256 个时一个数占的比特数。",
            ): say(
                """
                In 4 bits each group has a scale of 16 bits and a zero of 4: groups of 16 make it 5.25 bits a
                number, groups of 64 make it 4.31. The library takes 64 in 4 bits; in 8 bits, where steps are
                fine, a whole row shares one scale.
                """,
                """
                4 比特时，每组有一个 16 比特的缩放系数和一个 4 比特的零点：一组 16 个，一个数占 5.25 比特；
                一组 64 个，占 4.31 比特。本库 4 比特时取 64；8 比特的步子够细，整行共用一个缩放系数。
                """,
            ),
            say(
                "How much finer is rounding in 8 bits than in 4, and how much does the model notice?",
                "8 比特比 4 比特细多少？模型又感觉得到多少？",
            ): say(
                """
                Each bit halves the steps: 4 more make the error about 16 times smaller (set the outlier to 1
                and compare). In the model the loss grows with about the square of the error, so 8 bits can
                hardly be told from full precision, while 4 bits cost something, and GPTQ wins a part of it
                back.
                """,
                """
                每多一比特，步长减半：多 4 比特，误差约为十六分之一（把离群值调到 1 再比较）。模型的损失
                大约随误差的平方增长，所以 8 比特与全精度几乎没有差别，4 比特则有些代价，而 GPTQ 能挽回一部分。
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
            Read on: chapter 11 of the guide, `docs/en/chapters/11-compression.md`; the code,
            `src/groundup/model/quantized.py` and `src/groundup/compress/rounding.py`.
            """,
            """
            接着读：指南第 11 章 `docs/zh/chapters/11-compression.md`；
            代码 `src/groundup/model/quantized.py` 和 `src/groundup/compress/rounding.py`。
            """,
        )
    )
    return


if __name__ == "__main__":
    app.run()
