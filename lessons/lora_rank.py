"""The rank of LoRA: how many directions a matrix may learn in tuning. LoRA 的秩与微调。"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="The rank of LoRA · LoRA 的秩")

with app.setup:
    import copy
    import re

    import marimo as mo
    import numpy as np
    import torch
    from matplotlib.figure import Figure
    from torch import Tensor

    from groundup import GPT, Tokenizer, preset
    from groundup.data.shards import Tokens
    from groundup.data.windows import WindowConfig, Windows
    from groundup.evaluate.language import score_language
    from groundup.language import pick_language
    from groundup.model.config import LoraConfig
    from groundup.model.lora import adapted_layers, add_lora, count_parameters
    from groundup.train.config import TrainConfig
    from groundup.train.loop import start_run, train
    from groundup.train.objectives import next_token
    from groundup.world.documents import Mixture, training_documents

    LAYER = "blocks.0.feed_forward.up"
    STEPS = 60


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
            # The rank of LoRA

            LoRA (Hu et al. 2021) tunes a trained model without changing its matrices. Beside each matrix W
            stand two thin ones, and only these learn:

            $$y = W x + \\frac{\\alpha}{r}\\, B\\,(A x)$$

            A has r rows and B has r columns: r is the **rank**, the number of directions in which the matrix
            can change. When this page opens, a small model learns stories of the sample world for some
            seconds; then it is tuned to tasks (sums, opposites, repeating words), once whole and once with an
            adapter of your settings. Watch the three figures: how fast it learns, what it forgets of the
            stories, and in how many directions the matrix has changed.
            """,
            """
            # LoRA 的秩

            LoRA（Hu 等 2021）微调一个训练好的模型，却不改动它的矩阵。每个矩阵 W 旁边放两个瘦长的矩阵，
            只有它们学习：

            $$y = W x + \\frac{\\alpha}{r}\\, B\\,(A x)$$

            A 有 r 行，B 有 r 列：r 就是**秩**，即这个矩阵可以沿几个方向变化。打开本页时，一个小模型先用几秒钟
            学习示例世界的故事；然后微调它做任务（加减法、反义词、复述），一次微调全部权重，一次用你设置的适配器。
            请看三幅图：它学得多快，故事忘了多少，矩阵沿多少个方向变了。
            """,
        )
    )
    return


@app.function
def windows_of(texts: list[str], tokenizer: Tokenizer) -> Windows:
    """Windows of 32 tokens of these texts."""
    ids = [id_ for each in texts for id_ in tokenizer.encode(f"{each}<|endoftext|>")]
    text = Tokens([np.array(ids)], np.array([0]), sum(map(len, texts)))
    return Windows(text, 32, WindowConfig(order="random"))


@app.function
def sample_windows() -> tuple[Windows, Windows, int]:
    """Windows of stories and of tasks, and the size of their vocabulary."""
    stories, tasks = (
        [document.text for document in training_documents(0, 600, mixture, ("en",))]
        for mixture in (Mixture(stories=0.0, tasks=0.0), Mixture(stories=0.0, tasks=1.0))
    )
    tokenizer = Tokenizer.train_from_iterator([*stories, *tasks], 500)
    return windows_of(stories, tokenizer), windows_of(tasks, tokenizer), tokenizer.vocab_size


@app.function
def trained(model: GPT, windows: Windows, steps: int, learning_rate: float) -> list[float]:
    """Train what of the model is to be trained, in place; the loss at each step."""
    config = TrainConfig(
        steps=steps, optimizer="adamw", learning_rate=learning_rate, weight_decay=0.0, device="cpu"
    )
    losses: list[float] = []
    run = start_run(model, config)
    train(run, lambda n: windows.batch(n, 8), next_token, [lambda run: losses.append(run.loss)])
    return losses


@app.function
def bits_per_byte(model: GPT, windows: Windows) -> float:
    """On other windows of the same texts."""
    asked = (windows[n] for n in range(10_000, 10_080))
    return score_language(model, asked, windows.tokens.bytes_per_token).bits_per_byte


@app.cell
def _():
    stories, tasks, vocab_size = sample_windows()
    torch.manual_seed(0)
    sizes = {"d_model": 64, "n_layers": 1, "n_heads": 2, "context_length": 32}
    base = GPT(preset("nano", vocab_size=vocab_size, **sizes))
    trained(base, stories, 120, 1e-2)
    base_scores = bits_per_byte(base, stories), bits_per_byte(base, tasks)

    whole = copy.deepcopy(base)
    whole.embedding.requires_grad_(False)  # as LoRA has it: only the blocks learn
    whole.head.requires_grad_(False)
    whole_losses = trained(whole, tasks, STEPS, 3e-3)
    whole_scores = bits_per_byte(whole, stories), bits_per_byte(whole, tasks)
    return base, base_scores, stories, tasks, whole, whole_losses, whole_scores


@app.cell
def _():
    rank = mo.ui.slider(steps=[1, 2, 4, 8, 16, 32, 64], value=4, show_value=True, debounce=True)
    alpha = mo.ui.slider(steps=[1, 4, 16, 64, 256], value=16, show_value=True, debounce=True)
    targets = mo.ui.dropdown(["blocks.*", "attention.*", "feed_forward.*"], value="blocks.*")
    rslora = mo.ui.checkbox()
    dora = mo.ui.checkbox()
    return alpha, dora, rank, rslora, targets


@app.cell(hide_code=True)
def _(alpha, dora, rank, rslora, say, targets):
    mo.md(
        say(
            f"""
            | | |
            |---|---|
            | `rank` | {rank} |
            | `alpha` | {alpha} |
            | `targets`, the layers with an adapter | {targets} |
            | `rslora`: α/√r instead of α/r | {rslora} |
            | `dora`: learn the length of each row on its own | {dora} |
            """,
            f"""
            | | |
            |---|---|
            | `rank`（秩） | {rank} |
            | `alpha` | {alpha} |
            | `targets`，哪些层有适配器 | {targets} |
            | `rslora`：用 α/√r 代替 α/r | {rslora} |
            | `dora`：每行的长度单独学 | {dora} |
            """,
        )
    )
    return


@app.cell
def _(alpha, base, dora, rank, rslora, stories, targets, tasks):
    tuned = copy.deepcopy(base)
    torch.manual_seed(1)
    lora = LoraConfig(
        rank=rank.value,
        alpha=alpha.value,
        targets=[targets.value],
        rslora=rslora.value,
        dora=dora.value,
    )
    add_lora(tuned, lora)
    counts = count_parameters(tuned)
    losses = trained(tuned, tasks, STEPS, 1e-2)
    scores = bits_per_byte(tuned, stories), bits_per_byte(tuned, tasks)
    return counts, losses, scores, tuned


@app.cell
def _(base, tuned, whole):
    def singular_values(changed: Tensor) -> Tensor:
        """Of what was added to the matrix: how far it goes in each direction."""
        return torch.linalg.svdvals(changed.detach() - base.get_submodule(LAYER).weight.detach())

    adapted = adapted_layers(tuned)
    by_whole = singular_values(whole.get_submodule(LAYER).weight)
    by_lora = singular_values(adapted[LAYER].weight) if LAYER in adapted else None
    return by_lora, by_whole


@app.cell
def _(base_scores, by_lora, by_whole, losses, scores, whole_losses, whole_scores):
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    curves, forgotten, directions = figure.subplots(1, 3)
    curves.plot(whole_losses, label="all weights of the blocks")
    curves.plot(losses, label="LoRA")
    curves.set(xlabel="step", ylabel="loss on tasks (nats)")
    curves.legend(fontsize=8)
    for start, values, name in (
        (-0.27, base_scores, "before"),
        (0, whole_scores, "all"),
        (0.27, scores, "LoRA"),
    ):
        forgotten.bar([start, 1 + start], values, width=0.25, label=name)
    forgotten.set_xticks([0, 1], ["stories", "tasks"])
    forgotten.set_ylabel("bits per byte")
    forgotten.legend(fontsize=8)
    directions.plot(by_whole.numpy(), ".-", label="all")
    if by_lora is not None:
        directions.plot(by_lora.numpy(), ".-", label="LoRA")
    directions.set(xlabel="direction", ylabel="singular value of the change", title=LAYER)
    directions.title.set_fontsize(8)
    directions.legend(fontsize=8)
    figure
    return


@app.cell(hide_code=True)
def _(counts, say, scores, whole_scores):
    mo.md(
        say(
            f"The adapter has **{counts.trainable:,}** numbers beside the {counts.all - counts.trainable:,} of "
            f"the model. Tasks: {scores[1]:.2f} bits per byte (all weights: {whole_scores[1]:.2f}).",
            f"适配器有 **{counts.trainable:,}** 个数，模型本身有 {counts.all - counts.trainable:,} 个。"
            f"任务：每字节 {scores[1]:.2f} 比特（全部权重：{whole_scores[1]:.2f}）。",
        )
    )
    return


@app.cell(hide_code=True)
def _(say):
    mo.accordion(
        {
            say(
                "Go from rank 1 to 64. From which rank on is LoRA as good as tuning all weights?",
                "把秩从 1 调到 64。从哪个秩开始，LoRA 与微调全部权重一样好？",
            ): say(
                """
                About 16, with 18,432 numbers; rank 4 comes near with a quarter of them, rank 1 stays behind.
                The third figure shows why: the change that all weights together learn spreads over many
                directions, that of LoRA over exactly as many as its rank. A larger model and a task closer to
                what it knows need fewer.
                """,
                """
                约从 16 开始，有 18,432 个数；秩 4 只用四分之一的数就已接近，秩 1 则落在后面。
                第三幅图说明了原因：全部权重一起学到的变化分散在许多方向上，
                LoRA 的变化恰好只有“秩”那么多个方向。模型更大、任务离它已会的更近，需要的就更少。
                """,
            ),
            say(
                "At rank 4 set alpha to 1, 16 and 256. What does it do?",
                "秩为 4，把 alpha 设为 1、16、256。它起什么作用？",
            ): say(
                """
                It works much like a learning rate of what is added. At 1 the adapter does not come far in 60
                steps; at 256 it overshoots: the tasks end worse, and the stories are lost altogether.
                """,
                """
                它很像所加部分的学习率。为 1 时，适配器 60 步里走不远；为 256 时走过了头：
                任务的结果更差，故事也丢光了。
                """,
            ),
            say(
                "At rank 64 tick `rslora`. Why does it help there and hardly at rank 1?",
                "秩为 64，勾选 `rslora`。为什么在这里有用，秩为 1 时却没有差别？",
            ): say(
                """
                With α/r the factor is 16/64 = 1/4, and each direction is held back the more, the more there
                are; so 64 gives no more than 16 did. With α/√r (Kalajdzievski 2023) it is 2. At rank 1 both
                are the same.
                """,
                """
                用 α/r，系数是 16/64 = 1/4：方向越多，每个方向越受压制，所以 64 并不比 16 好。
                用 α/√r（Kalajdzievski 2023），系数是 2。秩为 1 时，两者相同。
                """,
            ),
            say(
                "Does LoRA forget the stories less than tuning all weights does?",
                "LoRA 忘掉的故事比微调全部权重少吗？",
            ): say(
                """
                Not here, once it has learned the tasks as well: both lose about as much. It forgets less where
                it learns less (alpha 1). What was there is not gone, though: take the adapter away, and the
                model is as it was, to the bit. Against forgetting while tuning, old text is mixed in.
                """,
                """
                在这里并不，只要任务学得一样好，两者忘掉的差不多。学得少（alpha 为 1），忘得才少。
                不过原来的东西并没有消失：拿掉适配器，模型就和原来一模一样，一位不差。要在微调时少忘，
                就混入一些原来的文本。
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
            Read on: chapter 9 of the guide, `docs/en/chapters/09-tuning.md`; the code,
            `src/groundup/model/lora.py`.
            """,
            """
            接着读：指南第 9 章 `docs/zh/chapters/09-tuning.md`；代码 `src/groundup/model/lora.py`。
            """,
        )
    )
    return


if __name__ == "__main__":
    app.run()
