"""Attention: from queries and keys to weights. 注意力：从查询和键到权重。"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Attention · 注意力")

with app.setup:
    import re

    import marimo as mo
    import torch
    from matplotlib import font_manager, rcParams
    from matplotlib.figure import Figure

    from groundup.language import pick_language
    from groundup.model.attention import attend_step_by_step, causal_mask

    # Words may be Chinese, where there is a font for them, and a $ in them is a $.
    han = ("Noto Sans CJK SC", "Noto Sans CJK JP", "PingFang SC", "Microsoft YaHei", "SimHei")
    fonts = [name for name in han if name in font_manager.get_font_names()]
    rcParams.update({"font.family": ["DejaVu Sans", *fonts], "text.parse_math": False})


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
            r"""
            # Attention

            Each token asks, with a vector called its **query**. Each token up to it answers, with a vector
            called its **key**. Query times key is a **score**; the softmax of the scores are **weights**,
            which add up to 1; and in these proportions the token takes in the **values**:

            $$\mathrm{softmax}\left(\frac{q k^\top}{\sqrt{d}} + \text{mask}\right) v$$

            Below, each word has a random key of `head_dim` numbers, and its query is partly that key and
            partly noise. The weights come from `groundup.model.attention.attend_step_by_step`, the
            reading version of what the model runs.

            Watch the rows of the map: a row is a token that asks, a column one that answers.
            """,
            r"""
            # 注意力

            每个词元（token）用一个叫**查询**（query）的向量提问；它自己和它之前的词元各用一个叫**键**（key）
            的向量来应答。查询与键的内积是**分数**，分数经过 softmax 成为**权重**，加起来等于 1；
            这个词元就按权重把各个**值**（value）加起来，作为自己的输出：

            $$\mathrm{softmax}\left(\frac{q k^\top}{\sqrt{d}} + \text{mask}\right) v$$

            下面每个词的键是 `head_dim` 个随机数，查询一部分是这个键、一部分是噪声。权重由
            `groundup.model.attention.attend_step_by_step` 算出：它是模型实际所用注意力的逐步写法，供人阅读。

            请看图中的行：一行是一个提问的词元，一列是一个应答的词元。
            """,
        )
    )
    return


@app.cell
def _():
    sentence = mo.ui.text("Mia is in the garden . Tom has a ball . Where is Mia", full_width=True)
    head_dim = mo.ui.slider(steps=[4, 16, 64, 256], value=64, show_value=True)
    exponent = mo.ui.slider(0.0, 1.0, 0.05, value=0.5, show_value=True)
    likeness = mo.ui.slider(0.0, 1.0, 0.05, value=0.3, show_value=True)
    causal = mo.ui.checkbox(value=True)
    seed = mo.ui.slider(0, 20, value=0, show_value=True)
    return causal, exponent, head_dim, likeness, seed, sentence


@app.cell
def _(sentence):
    words = sentence.value.split() or ["Mia"]
    return (words,)


@app.cell
def _(words):
    asking = mo.ui.slider(1, len(words), value=len(words), show_value=True)
    window = mo.ui.slider(1, len(words), value=len(words), show_value=True)
    return asking, window


@app.cell(hide_code=True)
def _(asking, causal, exponent, head_dim, likeness, say, seed, sentence, window):
    mo.md(
        say(
            f"""
            | | |
            |---|---|
            | words, with spaces between them | {sentence} |
            | `head_dim` | {head_dim} |
            | scores are multiplied by `head_dim` to the power of minus | {exponent} |
            | how much a query is like the key of its own word | {likeness} |
            | causal: no token sees those after it | {causal} |
            | window: how many tokens back a token sees, itself included | {window} |
            | the token that asks, in the lower figure | {asking} |
            | seed of the random vectors | {seed} |
            """,
            f"""
            | | |
            |---|---|
            | 词，用空格隔开 | {sentence} |
            | `head_dim` | {head_dim} |
            | 分数乘以 `head_dim` 的负几次方 | {exponent} |
            | 查询与本词的键有多像 | {likeness} |
            | 因果：看不到后面的词元 | {causal} |
            | 窗口：连自己在内，往回能看到多少个词元 | {window} |
            | 下图中提问的是第几个词元 | {asking} |
            | 随机向量的种子 | {seed} |
            """,
        )
    )
    return


@app.cell
def _(causal, exponent, head_dim, likeness, seed, window, words):
    time, width = len(words), head_dim.value
    random = torch.Generator().manual_seed(seed.value)
    kinds = sorted(set(words))
    key_of = torch.randn(len(kinds), width, generator=random)
    key = key_of[[kinds.index(word) for word in words]]
    noise = torch.randn(time, width, generator=random)
    query = likeness.value * key + (1 - likeness.value**2) ** 0.5 * noise

    seen = torch.ones(time, time, dtype=torch.bool)
    if causal.value:
        seen = causal_mask(time, time, seen.device)
    seen = seen.triu(1 - window.value)

    scale = width**-exponent.value
    # Attention averages values by its weights; of the unit vectors the average is the weights.
    weights = attend_step_by_step(
        query[None, None], key[None, None], torch.eye(time)[None, None], seen, scale=scale
    )[0, 0]
    scores = (query @ key.T * scale).masked_fill(~seen, torch.nan)
    tokens_seen = torch.exp(torch.special.entr(weights).sum(-1))
    return scores, tokens_seen, weights


@app.cell
def _(asking, scores, weights, words):
    row = asking.value - 1
    figure = Figure(figsize=(7, 8), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=[2.2, 1])
    places = range(len(words))

    whole = figure.add_subplot(grid[0, :])
    shown = whole.imshow(weights.numpy(), vmin=0, vmax=1, cmap="viridis")
    whole.set_xticks(places, words, rotation=60, ha="right")
    whole.set_yticks(places, words)
    whole.set(xlabel="key", ylabel="query", title="weights")
    whole.axhline(row - 0.5, color="white", lw=0.8)
    whole.axhline(row + 0.5, color="white", lw=0.8)
    figure.colorbar(shown, ax=whole, shrink=0.7)

    for column, (name, numbers) in enumerate([("scores", scores), ("weights", weights)]):
        bars = figure.add_subplot(grid[1, column])
        bars.bar(places, numbers[row].numpy())
        bars.set_xticks(places, words, rotation=60, ha="right", fontsize=7)
        bars.set_title(f"{name} of “{words[row]}”")
        bars.axhline(0, color="black", lw=0.5)
    figure
    return (row,)


@app.cell(hide_code=True)
def _(row, say, tokens_seen, weights):
    mo.md(
        say(
            f"""
            The token that asks spreads its weight over about **{tokens_seen[row]:.1f}** tokens (e to the
            power of the entropy); its largest weight is **{weights[row].max():.2f}**.
            """,
            f"""
            提问的词元把权重大致分给 **{tokens_seen[row]:.1f}** 个词元（e 的熵次方），
            其中最大的权重是 **{weights[row].max():.2f}**。
            """,
        )
    )
    return


@app.cell(hide_code=True)
def _(say):
    mo.accordion(
        {
            say(
                "Set the exponent to 0 and `head_dim` to 4, 16, 64, 256. What becomes of the weights?",
                "把指数调到 0，再依次把 `head_dim` 调到 4、16、64、256。权重会怎样？",
            ): say(
                """
                Each token soon gives nearly all its weight to one word. The product of two random vectors of d
                numbers is about √d in size, and the softmax of large scores is all or nothing; its gradient
                is then nearly 0. With the exponent 0.5, which is 1/√d, the size of the scores does not
                depend on d (Vaswani et al. 2017, section 3.2.1).
                """,
                """
                每个词元很快就把权重几乎全给了某一个词。两个 d 维随机向量的内积，大小约为 √d；分数一大，
                softmax 就非此即彼，梯度也几乎为 0。指数取 0.5，即乘以 1/√d，分数的大小就与 d 无关
                （Vaswani 等 2017，3.2.1 节）。
                """,
            ),
            say(
                "Raise the likeness to 0.6. Where does the last “Mia” look?",
                "把相似度调到 0.6。最后一个 “Mia” 看向哪里？",
            ): say(
                """
                At itself and at the first “Mia”, with exactly the same weight: they have the same key, and
                nothing here says which stands where. That takes positions: the lesson `positions.py`.
                """,
                """
                看向它自己和第一个 “Mia”，权重完全相同：它们的键相同，而这里没有任何东西说明谁在哪里。
                这要靠位置信息：见 `positions.py` 一课。
                """,
            ),
            say(
                "Which token has a weight of exactly 1, whatever you do, as long as attention is causal?",
                "只要注意力是因果的，哪个词元的权重无论怎么调都恰好是 1？",
            ): say(
                """
                The first one: it sees only itself. With a window of 1 that is so for all, and attention
                passes each value on unchanged. Without the causal mask the map fills above the diagonal,
                and the first token sees what it should learn to predict.
                """,
                """
                第一个：它只看得到自己。窗口为 1 时，每个词元都是如此，注意力就把值原样传下去。
                去掉因果掩码，对角线以上也有了权重：第一个词元就看到了它本该学着预测的内容。
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
            Read on: chapter 4 of the guide, `docs/en/chapters/04-attention.md`; the code,
            `src/groundup/model/attention.py`.
            """,
            """
            接着读：指南第 4 章 `docs/zh/chapters/04-attention.md`；代码 `src/groundup/model/attention.py`。
            """,
        )
    )
    return


if __name__ == "__main__":
    app.run()
