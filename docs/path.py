"""Draws `path.svg` of both languages: the chapters as boxes, in the order in which text becomes a served model.

python docs/path.py
"""

from html import escape
from pathlib import Path

DOCS = Path(__file__).parent
# Each chapter: its name, what it is called and what it makes of what, in English and Chinese.
CHAPTERS = {
    "01-text": (("text", "documents → examples"), ("文本", "文档 → 样本")),
    "02-tokenizer": (("tokenizer", "text → ids"), ("分词器", "文本 → id")),
    "03-embedding": (("embedding", "ids → vectors"), ("嵌入", "id → 向量")),
    "04-attention": (("attention", "each looks back"), ("注意力", "每个词元回看前文")),
    "05-block": (("block", "look, then think"), ("Transformer 块", "先看，再想")),
    "06-gpt": (("GPT", "ids → logits"), ("GPT", "id → logits")),
    "07-pretraining": (("pretraining", "loss → weights"), ("预训练", "损失 → 权重")),
    "08-generation": (("generation", "logits → text"), ("生成", "logits → 文本")),
    "09-tuning": (("tuning", "weights with a job"), ("微调", "给模型一份工作")),
    "10-evaluation": (("evaluation", "model → numbers"), ("评测", "模型 → 数字")),
    "11-compression": (("compression", "fewer bytes"), ("压缩", "更少的字节")),
    "12-serving": (("serving", "model → HTTP"), ("服务", "模型 → HTTP")),
}
TITLES = ("The path from text to a served model", "从文本到上线服务的路")
COLUMNS, WIDTH, HEIGHT, GAP, ROW = 4, 200, 84, 40, 130


def figure(language: int) -> str:
    """The SVG; its colours are those of a light page until `guide.css` gives the theme's."""
    rows = -(-len(CHAPTERS) // COLUMNS)
    width, height = COLUMNS * (WIDTH + GAP) - GAP + 4, (rows - 1) * ROW + HEIGHT + 4
    parts = [_way(number) for number in range(len(CHAPTERS) - 1)]
    for number, (page, said) in enumerate(CHAPTERS.items()):
        parts.append(_box(number, page, *said[language]))
    return (
        f'<svg class="path" xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 {width} {height}" '
        'role="img" font-family="sans-serif" text-anchor="middle">\n'
        f"<title>{TITLES[language]}</title>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _place(number: int) -> tuple[int, int]:
    return number % COLUMNS * (WIDTH + GAP), number // COLUMNS * ROW


def _box(number: int, page: str, title: str, shape: str) -> str:
    x, y = _place(number)
    middle = x + WIDTH // 2
    return (
        f'<a href="chapters/{page}.html"><rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" '
        'rx="10" fill="#f8f9fb" stroke="#0a4bff"/>'
        f'<text x="{middle}" y="{y + 36}" font-size="23" fill="#000">{number + 1} '
        f"{escape(title)}</text>"
        f'<text class="shape" x="{middle}" y="{y + 64}" font-size="18" fill="#5a5c63">'
        f"{escape(shape)}</text></a>"
    )


def _way(number: int) -> str:
    """The line from a box to the next; at the end of a row, down and back to the left."""
    (x, y), (next_x, next_y) = _place(number), _place(number + 1)
    if y == next_y:
        points = [(x + WIDTH, y + HEIGHT // 2), (next_x, y + HEIGHT // 2)]
    else:
        between = (y + HEIGHT + next_y) // 2
        right, left = x + WIDTH // 2, next_x + WIDTH // 2
        points = [(right, y + HEIGHT), (right, between), (left, between), (left, next_y)]
    return "".join(
        f'<line x1="{a}" y1="{b}" x2="{c}" y2="{d}" stroke="#5a5c63"/>'
        for (a, b), (c, d) in zip(points, points[1:], strict=False)
    )


def main() -> None:
    for number, language in enumerate(("en", "zh")):
        (DOCS / language / "path.svg").write_text(figure(number), encoding="utf-8")


if __name__ == "__main__":
    main()
