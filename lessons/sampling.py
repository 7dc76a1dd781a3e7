"""Sampling: temperature, top-k, top-p and min-p on a model trained on the spot. 采样。"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Sampling · 采样")

with app.setup:
    import re

    import marimo as mo
    import numpy as np
    import torch
    from matplotlib.figure import Figure

    from groundup import GPT, Tokenizer, generate, preset
    from groundup.data.shards import Tokens
    from groundup.data.windows import WindowConfig, Windows
    from groundup.evaluate.inside import narrowings, next_logits
    from groundup.generation.sampling import SamplingConfig
    from groundup.language import pick_language
    from groundup.train.config import TrainConfig
    from groundup.train.loop import start_run, train
    from groundup.train.objectives import next_token
    from groundup.world.documents import Mixture, training_documents

    SHOWN = 30


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
            # Sampling

            A model gives every token of its vocabulary a probability of being the next one. Sampling decides
            what to make of that. In the order in which `groundup.generation.sampling.choose` applies them:

            - **temperature** divides the logits: below 1 the likely become likelier, above 1 all become more
              alike, 0 always takes the likeliest;
            - **top-k** keeps the k likeliest tokens (Fan et al. 2018);
            - **top-p** keeps the likeliest that together reach the probability p (Holtzman et al. 2020);
            - **min-p** keeps those with at least p times the probability of the likeliest (Nguyen et al. 2024).

            When this page opens, a very small model learns from stories of the sample world for a few
            seconds. Watch which bars remain, and what that does to what it says.
            """,
            """
            # 采样

            模型给词表里的每个词元（token）一个概率：它是下一个词元的可能性有多大。采样决定怎样用这些概率。
            按 `groundup.generation.sampling.choose` 的顺序：

            - **温度**（temperature）：logit 除以它。小于 1，大的更大；大于 1，彼此更接近；为 0，总取最可能的；
            - **top-k**：只留最可能的 k 个词元（Fan 等 2018）；
            - **top-p**：从最可能的留起，直到概率之和达到 p（Holtzman 等 2020）；
            - **min-p**：概率不到最大者的 p 倍的，去掉（Nguyen 等 2024）。

            打开本页时，一个很小的模型会用几秒钟学习示例世界的故事。请看哪些柱子留了下来，它说的话又因此怎样变化。
            """,
        )
    )
    return


@app.function
def learned_model() -> tuple[GPT, Tokenizer]:
    """A model of 85,000 weights that has read plain stories of the sample world."""
    documents = training_documents(0, 1500, Mixture(stories=0.0, tasks=0.0), ("en",))
    # The others are small talk, in turns of a conversation.
    stories = [document.text for document in documents if not document.turns[0][0]]
    tokenizer = Tokenizer.train_from_iterator(stories, 600)
    ids = [id_ for story in stories for id_ in tokenizer.encode(f"{story}<|endoftext|>")]
    text = Tokens([np.array(ids)], np.array([0]), sum(map(len, stories)))
    windows = Windows(text, 32, WindowConfig(order="random"))

    torch.manual_seed(0)
    sizes = {"d_model": 48, "n_layers": 1, "n_heads": 2, "context_length": 64}
    model = GPT(preset("nano", vocab_size=tokenizer.vocab_size, **sizes))
    config = TrainConfig(steps=150, optimizer="adamw", learning_rate=1e-2, device="cpu")
    train(start_run(model, config), lambda n: windows.batch(n, 8), next_token)
    return model.eval(), tokenizer


@app.cell
def _():
    model, tokenizer = learned_model()
    return model, tokenizer


@app.cell
def _():
    prompt = mo.ui.dropdown(["Lily", "Tom has a", "Mia is in the"], value="Lily")
    temperature = mo.ui.slider(0.0, 2.0, 0.05, value=1.0, show_value=True)
    top_k = mo.ui.slider(0, SHOWN, value=0, show_value=True)
    top_p = mo.ui.slider(0.05, 1.0, 0.05, value=1.0, show_value=True)
    min_p = mo.ui.slider(0.0, 1.0, 0.05, value=0.0, show_value=True)
    return min_p, prompt, temperature, top_k, top_p


@app.cell(hide_code=True)
def _(min_p, prompt, say, temperature, top_k, top_p):
    mo.md(
        say(
            f"""
            | | |
            |---|---|
            | prompt | {prompt} |
            | `temperature` | {temperature} |
            | `top_k` (0: all) | {top_k} |
            | `top_p` (1: all) | {top_p} |
            | `min_p` (0: all) | {min_p} |
            """,
            f"""
            | | |
            |---|---|
            | 提示 | {prompt} |
            | `temperature` | {temperature} |
            | `top_k`（0：全部） | {top_k} |
            | `top_p`（1：全部） | {top_p} |
            | `min_p`（0：全部） | {min_p} |
            """,
        )
    )
    return


@app.cell
def _(min_p, model, prompt, temperature, tokenizer, top_k, top_p):
    settings = {
        "temperature": temperature.value,
        "top_k": top_k.value or None,
        "top_p": top_p.value,
        "min_p": min_p.value,
    }
    logits = next_logits(model, tokenizer.encode(prompt.value))
    stages = dict(narrowings(logits, SamplingConfig.parse(settings)))
    before, after = stages["model"], list(stages.values())[-1]
    left = int((after > 0).sum())
    hesitates = torch.exp(torch.special.entr(after).sum()).item()
    continuations = [
        generate(
            model, tokenizer, prompt.value, max_new_tokens=14, stop=["."], seed=seed, **settings
        )
        for seed in range(6)
    ]
    return after, before, continuations, hesitates, left


@app.cell
def _(after, before, tokenizer):
    shown = before.topk(SHOWN).indices
    names = [repr(tokenizer.decode([id_]))[1:-1] for id_ in shown.tolist()]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(SHOWN), after[shown].numpy(), label="after sampling's settings")
    axes.step(range(SHOWN), before[shown].numpy(), where="mid", color="black", lw=1, label="model")
    axes.set_xticks(range(SHOWN), names, rotation=75, parse_math=False)
    axes.set(ylabel="probability", title=f"the {SHOWN} likeliest tokens")
    axes.legend()
    figure
    return


@app.cell(hide_code=True)
def _(continuations, hesitates, left, prompt, say):
    mo.md(
        say(
            f"**{left}** tokens are left; drawing from them is like drawing from **{hesitates:.1f}** equally "
            "likely ones. Six draws:",
            f"剩下 **{left}** 个词元；从中抽取，相当于从 **{hesitates:.1f}** 个同样可能的词元中抽取。"
            "抽六次：",
        )
        + "".join(f"\n\n`{prompt.value}{words}.`" for words in continuations)
    )
    return


@app.cell(hide_code=True)
def _(say):
    mo.accordion(
        {
            say(
                "Set the temperature to 0.2: which tokens die out first? And at 2?",
                "把温度调到 0.2：哪些词元最先消失？调到 2 呢？",
            ): say(
                """
                The unlikely ones: the ratio of two probabilities is raised to the power of 1/temperature, so
                at 0.2 a token half as likely as the first becomes 32 times less likely. That rules
                no token out, although a probability below 10⁻⁴⁵ is 0 to the computer. At 2 ratios shrink to
                their square root, and the hundreds of tokens far to the right, which do not even show, come
                to be drawn.
                """,
                """
                不太可能的那些：两个概率之比会变成自己的 1/温度 次方。温度为 0.2 时，概率为第一名一半的词元，
                会变成第一名的 1/32。这并不排除任何词元，只是低于 10⁻⁴⁵ 的概率在计算机里就是 0。
                温度为 2 时，比值缩小为平方根，右边那几百个图上都看不到的词元也会被抽中。
                """,
            ),
            say(
                "At temperature 1.5, compare `top_k` 5 for “Lily” and “Mia is in the”. And `top_p` 0.5?",
                "温度 1.5 时，比较 “Lily” 和 “Mia is in the” 的 `top_k` = 5；再比较 `top_p` = 0.5。",
            ): say(
                """
                top-k keeps five, whether the model has two favourites or is undecided between thirty places.
                top-p keeps few where the model is sure and many where it is not.
                """,
                """
                top-k 总是留五个，不管模型心里只有两个候选，还是在三十个地方之间拿不定主意。
                top-p 则在模型有把握时留得少，没把握时留得多。
                """,
            ),
            say(
                "Keep `min_p` at 0.3 and move the temperature from 0.5 to 2. Does it still cut off the tail?",
                "把 `min_p` 定在 0.3，温度从 0.5 移到 2。它还能切掉尾部吗？",
            ): say(
                """
                Less and less, as it is applied after the temperature: as all probabilities become more alike,
                more of them reach 0.3 of the largest. Yet tokens that are a thousand times less likely stay
                out even at 2, where their ratio is still 1 to 32. With top-p 0.9 many of them would come in.
                """,
                """
                越来越少，因为它在温度之后起作用：各概率越接近，达到最大者 0.3 倍的就越多。不过，可能性只有
                千分之一的词元，温度为 2 时比值仍是 1/32，还是进不来；换成 top-p 0.9，其中许多就进来了。
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
            Read on: chapter 8 of the guide, `docs/en/chapters/08-generation.md`; the code,
            `src/groundup/generation/sampling.py`.
            """,
            """
            接着读：指南第 8 章 `docs/zh/chapters/08-generation.md`；
            代码 `src/groundup/generation/sampling.py`。
            """,
        )
    )
    return


if __name__ == "__main__":
    app.run()
