"""The tab "Look inside", in a browser: its numbers are the library's."""

import pytest

from groundup.evaluate import inside
from groundup.generation.sampling import SamplingConfig
from groundup.weights.directory import load
from tests.browser.conftest import playwright

expect = playwright.expect
TEXT = "Mia 小明鑫.\n<|end|>"


@pytest.fixture(scope="module")
def loaded(directory):
    model, tokenizer = load(directory)
    return model.eval(), tokenizer, tokenizer.encode_prompt(TEXT)


@pytest.fixture
def page(open_page, tiny):
    opened = open_page(tiny, path="/#inside")
    look(opened, TEXT)
    return opened


def look(page, text: str) -> None:
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Look inside").click()
    expect(page.locator("#look-status")).to_contain_text("tokens")


def settle(page, **values: object) -> None:
    for name, value in values.items():
        page.locator(f"#narrowing-{name}").fill(str(value))


def percent(probability: float) -> str:
    return f"{probability * 100:.2f}%"


def test_tokens_are_whole_characters_with_ids(page, loaded):
    _, tokenizer, ids = loaded
    pieces = inside.pieces(tokenizer, ids)
    options = page.locator("#tokens [role=option]")
    expect(options).to_have_count(len(pieces))
    for number, piece in enumerate(pieces):
        title = options.nth(number).get_attribute("title") or ""
        assert title.endswith("id " + ", ".join(map(str, piece.ids)))
    (han,) = (number for number, piece in enumerate(pieces) if piece.text == "鑫")
    expect(options.nth(han)).to_have_text("鑫3")  # its tokens are three
    expect(page.locator("#tokens .special")).to_have_text("<|end|>")


def test_surprise_is_the_library_s(page, loaded):
    model, tokenizer, ids = loaded
    bits = [0.0, *inside.surprise(model, ids).tolist()]
    shown = page.locator("#surprise small").all_inner_texts()
    at = 0
    for text, piece in zip(shown, inside.pieces(tokenizer, ids), strict=True):
        wanted = sum(bits[at : at + len(piece.ids)])
        assert text == ("–" if at == 0 else f"{wanted:.2f}")
        at += len(piece.ids)
    expect(page.locator("#mean")).to_contain_text(f"{sum(bits) / (len(ids) - 1):.2f} bits")


def test_next_tokens_are_the_library_s_before_and_after_the_sliders(page, loaded):
    model, tokenizer, ids = loaded
    limits = {"temperature": 0.5, "top_k": 12, "top_p": 0.5, "min_p": 0.8}
    settle(page, **limits)
    last_slider = page.locator("#kept")
    expect(last_slider).to_contain_text("Min-p")
    steps = list(inside.narrowings(inside.next_logits(model, ids), SamplingConfig(**limits)))
    best = steps[0][1].topk(20).indices.tolist()
    rows = page.locator("#next tbody tr")
    expect(rows).to_have_count(20)
    expect(rows.nth(19)).to_contain_text("Cut by Top-k")
    for number, id_ in enumerate(best):
        cells = rows.nth(number).locator("td").all_inner_texts()
        assert cells[1] == percent(steps[0][1][id_].item())
        cut = next((name for name, found in steps if found[id_] == 0), None)
        names = {"top_k": "Top-k", "top_p": "Top-p", "min_p": "Min-p"}
        assert cells[2] == (f"Cut by {names[cut]}" if cut else percent(steps[-1][1][id_].item()))
        assert ("cut" in (rows.nth(number).get_attribute("class") or "")) == (cut is not None)
    for name, found in steps[2:]:
        shown = {"top_k": "Top-k", "top_p": "Top-p", "min_p": "Min-p"}[name]
        expect(last_slider).to_contain_text(f"{shown}: {(found > 0).sum()} of 361 left")


def test_the_lens_stands_at_the_chosen_place(page, loaded):
    model, tokenizer, ids = loaded
    rows = page.locator("#lens tr")
    for position in (len(ids) - 1, 0):
        if position == 0:
            page.locator("#tokens [role=option]").first.click()
        stages = inside.logit_lens(model, ids[: position + 1])
        best = stages[-1].topk(5)
        expect(rows.nth(2).locator("small").first).to_have_text(percent(best.values[0].item()))
        for number, stage in enumerate(stages):
            values, found = stage.topk(5)
            titles = [f"id {id_}" for id_ in found.tolist()]
            pieces = rows.nth(number).locator(".piece")
            assert [piece.get_attribute("title") for piece in pieces.all()] == titles
            wanted = [percent(value) for value in values.tolist()]
            assert rows.nth(number).locator("small").all_inner_texts() == wanted


def test_attention_is_read_by_keyboard_and_is_the_library_s(page, loaded):
    model, _, ids = loaded
    page.locator("#layer").select_option("1")
    page.locator("#head").select_option("2")
    weights = inside.attention_map(model, ids, 1)[2]
    readout, last = page.locator("#looks"), len(ids) - 1
    best = int(weights[last].argmax())
    expect(readout).to_contain_text(f"({last}) takes {weights[last, best]:.4f}")
    expect(readout).to_contain_text(f"({best})")
    page.locator("#map").focus()
    for _ in range(last):
        page.keyboard.press("ArrowLeft")
    expect(readout).to_contain_text(f"takes {weights[last, 0]:.4f} from Mia (0)")
    page.keyboard.press("ArrowUp")
    expect(readout).to_contain_text(f"({last - 1}) takes {weights[last - 1, 0]:.4f} from Mia (0)")
    side = 512 // len(ids)
    alpha = page.evaluate(
        """([x, y]) => document.getElementById("map").getContext("2d")
            .getImageData(x, y, 1, 1).data[3] / 255""",
        [side // 2, side * 3 + side // 2],
    )
    assert alpha == pytest.approx(weights[3, 0].item() ** 0.5, abs=0.01)


def test_by_keyboard_alone(open_page, tiny, loaded):
    _, tokenizer, ids = loaded
    page = open_page(tiny, path="/#inside")
    page.locator("#text").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("Mia is")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#views")).to_be_visible()
    count = page.locator("#tokens [role=option]").count()
    chosen = page.locator("#tokens [aria-selected=true]")
    expect(chosen).to_have_attribute("id", f"piece-{count - 1}")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.locator("#tokens")).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(chosen).to_have_attribute("id", "piece-1")
    expect(page.locator("#token")).to_contain_text("position 1")
    reached = []
    for _ in range(7):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    sliders = [f"narrowing-{name}" for name in ("temperature", "top_k", "top_p", "min_p")]
    assert reached == [*sliders, "layer", "head", "map"]


def test_a_text_longer_than_the_context_is_refused_in_words(open_page, tiny):
    page = open_page(tiny, path="/#inside")
    page.locator("#text").fill("@" * 1100)
    page.get_by_role("button", name="Look inside").click()
    expect(page.locator("#look-status")).to_contain_text(
        "1,100 tokens; this model reads 1 to 1,024"
    )
    (told,) = open_page.watched[0].errors
    assert "400" in told
    open_page.watched[0].errors.clear()
    look(page, "@" * 600)
    expect(page.locator("#no-map")).to_contain_text("up to 512 tokens")
    expect(page.locator("#map")).to_be_hidden()
    expect(page.locator("#next tbody tr")).to_have_count(20)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1200])
def test_it_fits_phones_and_screens(open_page, tiny, width: int, dark: bool):
    page = open_page(tiny, language="zh-CN", width=width, dark=dark, path="/#inside")
    page.get_by_label("文字", exact=True).fill("Mia is in the garden. 小明在花园，鑫。\n" * 3)
    page.get_by_role("button", name="看里面").click()
    expect(page.locator("#next tbody tr")).to_have_count(20)
    settle(page, temperature=0.4, top_k=9)
    expect(page.locator("#kept")).to_contain_text("Top-k")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
