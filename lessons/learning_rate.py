"""Learning rate: how far each step goes, and how that changes in a training. 学习率：每一步走多远。"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Learning rate · 学习率")

with app.setup:
    import re

    import marimo as mo
    import numpy as np
    import torch
    from matplotlib.figure import Figure

    from groundup import GPT, Tokenizer, TrainingError, preset
    from groundup.data.shards import Tokens
    from groundup.data.windows import WindowConfig, Windows
    from groundup.language import pick_language
    from groundup.train.config import TrainConfig
    from groundup.train.loop import Run, start_run, train
    from groundup.train.objectives import next_token
    from groundup.train.schedules import rate
    from groundup.world.documents import training_documents

    SWEPT = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)


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
            # Learning rate

            After each batch the optimizer moves the weights against the gradient. How far is the learning
            rate's business: the setting that matters most. A schedule changes it as training goes on:
            `warmup` is the share of the steps in which it rises from 0; then it falls, along a cosine, as one
            over the root of the step (inverse-sqrt), or only at the end (wsd).

            Each time you let go of a slider, a model of 50,000 weights is trained anew on texts of the sample
            world, by the loop that trains all models here (`groundup.train.loop`). It begins with the same
            weights and sees the same batches every time. Watch where its curve ends, and how calm it is.
            """,
            """
            # 学习率

            每看完一个批次，优化器就让权重朝梯度的反方向移动。移动多远，由学习率决定：它是最要紧的一项设置。
            训练过程中，学习率按调度（schedule）变化：`warmup` 是它从 0 升起所占的步数比例；然后下降：
            沿余弦（cosine），按步数平方根的倒数（inverse-sqrt），或者只在末尾下降（wsd）。

            每次松开滑块，就会用示例世界的文本重新训练一个五万个权重的模型，用的就是训练所有模型的那个循环
            （`groundup.train.loop`）。每次的初始权重和批次都相同。请看它的曲线在哪里结束，平稳不平稳。
            """,
        )
    )
    return


@app.function
def sample_windows() -> tuple[Windows, int]:
    """Windows of 24 tokens of the sample world, and the size of their vocabulary."""
    texts = [document.text for document in training_documents(0, 400, languages=("en",))]
    tokenizer = Tokenizer.train_from_iterator(texts, 400)
    ids = [id_ for each in texts for id_ in tokenizer.encode(f"{each}<|endoftext|>")]
    text = Tokens([np.array(ids)], np.array([0]), sum(map(len, texts)))
    return Windows(text, 24, WindowConfig(order="random")), tokenizer.vocab_size


@app.function
def losses(windows: Windows, vocab_size: int, config: TrainConfig) -> list[float]:
    """The loss at each step of a training, up to its end or to the first that is no number."""
    torch.manual_seed(0)
    sizes = {"d_model": 40, "n_layers": 1, "n_heads": 2, "context_length": 24}
    found: list[float] = []

    def note(run: Run) -> None:
        found.append(run.loss)

    try:
        run = start_run(GPT(preset("nano", vocab_size=vocab_size, **sizes)), config)
        train(run, lambda n: windows.batch(n, 8), next_token, [note])
    except TrainingError:
        found.append(float("nan"))
    return found


@app.function
def final(loss: list[float]) -> float:
    """The mean loss of the last ten steps: one batch alone says little."""
    return float(np.mean(loss[-10:]))


@app.cell
def _():
    windows, vocab_size = sample_windows()
    return vocab_size, windows


@app.cell
def _(vocab_size, windows):
    sweep = {
        peak: final(
            losses(
                windows, vocab_size,
                TrainConfig(steps=30, optimizer="adamw", learning_rate=peak, device="cpu"),
            )
        )
        for peak in SWEPT
    }  # fmt: skip
    return (sweep,)


@app.cell
def _():
    learning_rate = mo.ui.slider(
        steps=[1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0],
        value=1e-2,
        show_value=True,
        debounce=True,
    )
    schedule = mo.ui.dropdown(["cosine", "wsd", "inverse-sqrt"], value="wsd")
    warmup = mo.ui.slider(0.02, 0.5, 0.02, value=0.06, show_value=True, debounce=True)
    decay = mo.ui.slider(0.0, 1.0, 0.1, value=0.5, show_value=True, debounce=True)
    steps = mo.ui.slider(20, 300, 20, value=100, show_value=True, debounce=True)
    return decay, learning_rate, schedule, steps, warmup


@app.cell(hide_code=True)
def _(decay, learning_rate, say, schedule, steps, warmup):
    mo.md(
        say(
            f"""
            | | |
            |---|---|
            | `learning_rate`, the peak | {learning_rate} |
            | `schedule` | {schedule} |
            | `warmup`, share of the steps | {warmup} |
            | `decay`, share of the steps (wsd) | {decay} |
            | `steps` | {steps} |
            """,
            f"""
            | | |
            |---|---|
            | `learning_rate`，峰值 | {learning_rate} |
            | `schedule` | {schedule} |
            | `warmup`，占总步数的比例 | {warmup} |
            | `decay`，占总步数的比例（wsd） | {decay} |
            | `steps` | {steps} |
            """,
        )
    )
    return


@app.cell
def _(decay, learning_rate, schedule, steps, vocab_size, warmup, windows):
    config = TrainConfig(
        steps=steps.value,
        optimizer="adamw",
        learning_rate=learning_rate.value,
        schedule=schedule.value,
        warmup=warmup.value,
        decay=decay.value,
        device="cpu",
    )
    rates = [
        config.learning_rate * rate(step / config.steps, config) for step in range(config.steps)
    ]
    loss = losses(windows, vocab_size, config)
    return loss, rates


@app.cell
def _(learning_rate, loss, rates, sweep):
    figure = Figure(figsize=(7.5, 5), layout="constrained")
    grid = figure.add_gridspec(2, 2)
    of_rate, of_loss = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0])
    of_rate.plot(rates)
    of_rate.set(ylabel="learning rate")
    of_loss.plot(loss)
    of_loss.set(xlabel="step", ylabel="loss (nats)")
    of_sweep = figure.add_subplot(grid[:, 1])
    of_sweep.semilogx(list(sweep), list(sweep.values()), "o-", label="30 steps each, wsd")
    of_sweep.semilogx(learning_rate.value, final(loss), "*", ms=14, label="this training")
    of_sweep.set(xlabel="peak learning rate", ylabel="loss at the end")
    of_sweep.legend()
    figure
    return


@app.cell(hide_code=True)
def _(loss, say):
    mo.md(
        say(
            f"Loss at the end (mean of the last ten steps): **{final(loss):.2f}**.",
            f"结束时的损失（最后十步的平均）：**{final(loss):.2f}**。",
        )
    )
    return


@app.cell(hide_code=True)
def _(say):
    mo.accordion(
        {
            say(
                "Go from 1e-4 to 1 with all else as it is. Where is the loss at the end lowest, and on which "
                "side of that is a mistake dearer?",
                "其他设置不变，学习率从 1e-4 调到 1。结束时的损失在哪里最低？往哪边偏，代价更大？",
            ): say(
                """
                About 0.01 to 0.03. A tenth of that leaves a loss of 3.8 instead of 2.2: the weights have not
                come far in 100 steps. Ten times too much, 0.1, gives 2.4. Further on the steps jump over what
                they seek: at 1 the loss first shoots up to 22 (only because gradients are clipped does it come
                back), and the training ends where the others were after some ten steps.
                """,
                """
                约在 0.01 到 0.03。取它的十分之一，损失是 3.8 而不是 2.2：100 步里权重没走多远。
                大十倍，即 0.1，得 2.4。再大，步子就会跨过要找的地方：为 1 时，损失先冲到 22
                （只因梯度裁剪才回得来），训练结束时还停在别的训练走了十来步的水平。
                """,
            ),
            say(
                "At 0.03, set the decay to 0, then to 0.5. What does falling at the end give?",
                "学习率 0.03，先把 decay 设为 0，再设为 0.5。末尾的下降带来什么？",
            ): say(
                """
                The loss ends about 0.1 lower. A large rate comes far quickly, but every step is thrown about
                by the chance of its batch; as the rate falls, these errors average out. The curve sinks most
                while the rate falls.
                """,
                """
                结束时的损失低约 0.1。大学习率走得快，但每一步都受那个批次的偶然性左右；学习率下降时，
                这些误差相互抵消。
                """,
            ),
            say(
                "With the cosine, take 100 steps and then 300. Is the curve of 100 steps the beginning of the "
                "other one?",
                "用余弦调度，先取 100 步，再取 300 步。100 步的曲线是 300 步曲线的开头吗？",
            ): say(
                """
                No: the cosine is laid over the whole training, so at step 100 of 300 the rate is still high
                and the loss above that of the training that ends there. One cannot go on from a finished
                cosine as if it had been planned longer. With wsd one can: the rate is constant until the
                last part begins.
                """,
                """
                不是：余弦铺满整个训练，300 步中的第 100 步学习率还高，损失也比在那里结束的训练要高。
                余弦走完了，就不能当作原本计划得更长而接着训练。wsd 可以：最后一段开始之前，学习率一直不变。
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
            Read on: chapter 7 of the guide, `docs/en/chapters/07-pretraining.md`; the code,
            `src/groundup/train/schedules.py` and `loop.py`.
            """,
            """
            接着读：指南第 7 章 `docs/zh/chapters/07-pretraining.md`；
            代码 `src/groundup/train/schedules.py` 和 `loop.py`。
            """,
        )
    )
    return


if __name__ == "__main__":
    app.run()
