"""Tokenization: a vocabulary of byte pairs, learned merge by merge. 分词：一步步合并，学出一张词表。"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Tokenization · 分词")

with app.setup:
    import html
    import re

    import marimo as mo
    from matplotlib.figure import Figure

    from groundup.language import pick_language
    from groundup.tokenizer.bpe import Merges, learn_merges
    from groundup.tokenizer.tokenizer import Tokenizer
    from groundup.tokenizer.usage import usage
    from groundup.tokenizer.vocabulary import MergeVocabulary
    from groundup.tokenizer.words import SPLIT_PATTERN, count_words
    from groundup.world.documents import Mixture, spaced, training_documents

    MOST_MERGES = 1800
    COLOURS = ("#cfe8ff", "#ffe3c2", "#d8f5d0", "#f3d6f5", "#fff3b0")


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
            # Tokenization

            A model does not read letters but token ids. Byte-pair encoding (Sennrich et al. 2016) begins with
            the 256 bytes, counts which two neighbours occur together most often, makes one token of them, and
            does that again. So frequent words become one token, and rare ones fall into pieces; nothing is
            unknown.

            The vocabulary here is learned, when this page opens, from some hundred short texts of the sample
            world in English and Chinese. Choose how many of its merges to use, and watch a text fall into
            fewer tokens.
            """,
            """
            # 分词

            模型读的不是字母，而是词元（token）的编号。字节对编码（BPE，Sennrich 等 2016）从 256 个字节开始，
            数一数哪两个相邻的词元最常一起出现，把它们合成一个新词元，再数，再合。
            于是常用词成为
            一个词元，罕见词散成几段，而没有任何字词是“未知”的。

            打开本页时，词表从示例世界的几百篇中英文短文中学出来。请选择用其中多少次合并，
            看文本怎样变成更少的词元。
            """,
        )
    )
    return


@app.function
def sample_texts(language: str) -> list[str]:
    """Stories of the sample world, without questions."""
    documents = training_documents(0, 600, Mixture(stories=0.0, tasks=0.0), (language,))
    return [document.text for document in documents if not document.turns[0][0]]


@app.function
def tokenizer_of(merges: Merges) -> Tokenizer:
    """The tokenizer with these merges, each of which makes the next id."""
    tokens = {byte: bytes([byte]) for byte in range(256)}
    for left, right in merges:
        tokens[len(tokens)] = tokens[left] + tokens[right]
    return Tokenizer(MergeVocabulary(tokens, merges, SPLIT_PATTERN), {})


@app.cell
def _():
    texts = {language: sample_texts(language) for language in ("en", "zh")}
    return (texts,)


@app.cell
def _(texts, word_borders):
    chinese = map(spaced, texts["zh"]) if word_borders.value else texts["zh"]
    words = count_words([*texts["en"], *chinese], SPLIT_PATTERN, [])
    all_merges = learn_merges(words, MOST_MERGES)
    return (all_merges,)


@app.cell
def _():
    count = mo.ui.slider(0, MOST_MERGES, 10, value=600, show_value=True, full_width=True)
    word_borders = mo.ui.checkbox()
    text = mo.ui.text_area(
        "Lily is in the library. She has a golden ring.\n"
        "阿宝在图书馆，手里有一个金色的戒指。\n"
        "Photosynthesis? 光合作用？",
        full_width=True,
    )
    return count, text, word_borders


@app.cell(hide_code=True)
def _(count, say, text, word_borders):
    mo.vstack(
        [
            mo.md(say("Merges in use:", "使用的合并次数：")),
            count,
            mo.hstack(
                [
                    word_borders,
                    mo.md(
                        say(
                            "Learn from Chinese with the borders of words marked (`world.documents.spaced`)",
                            "学词表时标出中文词的边界（`world.documents.spaced`）",
                        )
                    ),
                ],
                justify="start",
            ),
            mo.md(say("A text to cut into tokens:", "要切分的文本：")),
            text,
        ]
    )
    return


@app.cell
def _(all_merges, count, text):
    tokenizer = tokenizer_of(all_merges[: count.value])
    ids = tokenizer.encode(text.value)
    pieces = [tokenizer.token_bytes(id_).decode("utf-8", "backslashreplace") for id_ in ids]
    return ids, pieces, tokenizer


@app.cell(hide_code=True)
def _(ids, pieces, say, text):
    _spans = "".join(
        f'<span title="{id_}" style="background:{COLOURS[i % len(COLOURS)]};color:#111">'
        f"{html.escape(piece)}</span>"
        for i, (id_, piece) in enumerate(zip(ids, pieces, strict=True))
    )
    _bytes = len(text.value.encode())
    mo.vstack(
        [
            mo.Html(f'<div style="white-space:pre-wrap;font-family:monospace">{_spans}</div>'),
            mo.md(
                say(
                    f"{_bytes} bytes, **{len(ids)}** tokens. (Point at a token to see its id; `\\xe5` is a "
                    "byte that is only a part of a character.)",
                    f"{_bytes} 字节，**{len(ids)}** 个词元。（鼠标指向一个词元可看到它的编号；`\\xe5` "
                    "这样的是一个字节，只是某个字的一部分。）",
                )
            ),
        ]
    )
    return


@app.cell(hide_code=True)
def _(count, say, tokenizer):
    _last = range(max(256, 256 + count.value - 10), 256 + count.value)
    _made = ", ".join(
        f"`{tokenizer.token_bytes(id_).decode('utf-8', 'backslashreplace')!r}`" for id_ in _last
    )
    mo.md(
        say(
            f"The last tokens made so far: {_made or 'none, only bytes'}.",
            f"到此为止最后得到的词元：{_made or '没有，只有字节'}。",
        )
    )
    return


@app.cell
def _(all_merges, texts):
    sizes = [*range(0, len(all_merges), 150), len(all_merges)]
    bytes_per_token = {
        language: [usage(tokenizer_of(all_merges[:n]), some).bytes_per_token for n in sizes]
        for language, some in texts.items()
    }
    return bytes_per_token, sizes


@app.cell
def _(bytes_per_token, count, sizes, texts, tokenizer):
    figure = Figure(figsize=(7.5, 3.2), layout="constrained")
    curves, ranks = figure.subplots(1, 2)
    for language_of, name in (("en", "English"), ("zh", "Chinese")):
        curves.plot(sizes, bytes_per_token[language_of], ".-", label=name)
        times = usage(tokenizer, texts[language_of]).times
        ranks.loglog(sorted(times.values(), reverse=True), label=name)
    curves.axvline(count.value, color="black", lw=0.8, ls=":")
    curves.set(xlabel="merges", ylabel="bytes per token")
    ranks.set(xlabel="rank of the token", ylabel="how often it occurs")
    curves.legend()
    ranks.legend()
    figure
    return


@app.cell(hide_code=True)
def _(say):
    mo.accordion(
        {
            say(
                "Which comes first as one token: “ is in the”, “ kitchen” or “图书馆”?",
                "“ is in the”、“ kitchen” 和“图书馆”，哪个最先成为一个词元？",
            ): say(
                """
                “ kitchen” after about 370 merges, “图书馆” after about 610, “ is in the” never: text is first
                cut into words (`SPLIT_PATTERN`), and merges do not cross their borders. Short frequent words
                such as “ is” come among the first thirty.
                """,
                """
                “ kitchen” 在约 370 次合并之后，“图书馆”在约 610 次之后，“ is in the” 永远不会：文本先切成词
                （`SPLIT_PATTERN`），合并不跨越词的边界。“ is” 这样又短又常用的词，前三十次合并里就有了。
                """,
            ),
            say(
                "Set the merges to 0. How many tokens does a Chinese character take, and a letter?",
                "把合并次数设为 0。一个汉字要几个词元？一个字母呢？",
            ): say(
                """
                Three and one: those are their bytes in UTF-8. The first merges in Chinese therefore only put
                characters together from their bytes; no merge here makes a token of one character and a part
                of the next (`is_allowed` in `bpe.py`).
                """,
                """
                三个和一个：也就是它们在 UTF-8 中的字节数。所以中文最初的合并只是把字节拼成字；
                这里不会把一个字和下一个字的一部分合成一个词元（见 `bpe.py` 的 `is_allowed`）。
                """,
            ),
            say(
                "Use all merges. Why do “Photosynthesis” and “光合作用” stay in pieces?",
                "用上所有合并。“Photosynthesis” 和“光合作用”为什么还是碎的？",
            ): say(
                """
                They do not occur in the texts that the vocabulary was learned from, so no merge ever paid
                for them. A vocabulary fits the texts of its field, and a model pays for others with longer
                inputs: type words of your own field.
                """,
                """
                学词表的文本里没有它们，合并也就从来轮不到它们。词表适合它那个领域的文本，换成别的文本，
                模型的输入就更长：请输入你自己领域的词试试。
                """,
            ),
            say(
                "Where does the curve of English become flat? Why does that of Chinese go on? Tick the box.",
                "英文的曲线在哪里变平？中文的为什么还在上升？请勾选方框。",
            ): say(
                """
                After some 1,200 merges nearly every English word of this small world is one token, and there
                is nothing left to join. Chinese has no spaces, so that a whole run of characters counts as a
                word, and whole phrases such as “在图书馆” become tokens: short input, but the model then has
                to learn each phrase by itself. With the borders of words marked, learning ends after fewer
                than 1,200 merges in all: there is nothing left to join in either language.
                """,
                """
                大约 1,200 次合并之后，这个小世界的英文词几乎都各成一个词元，再没有可合并的了。
                中文没有空格，一整串汉字算作一个词，于是“在图书馆”这样的短语也成了词元：输入虽短，
                模型却要把每个短语单独学一遍。标出词的边界，总共不到 1,200 次合并就学完了：
                两种语言都再没有可合并的了。
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
            Read on: chapter 2 of the guide, `docs/en/chapters/02-tokenizer.md`; the code,
            `src/groundup/tokenizer/bpe.py`.
            """,
            """
            接着读：指南第 2 章 `docs/zh/chapters/02-tokenizer.md`；代码 `src/groundup/tokenizer/bpe.py`。
            """,
        )
    )
    return


if __name__ == "__main__":
    app.run()
