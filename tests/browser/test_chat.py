"""The tab "Chat", in a browser."""

import re
import time

import httpx2 as httpx
import pytest
from openai import OpenAI

from tests.browser.conftest import ATTACK, ON_AND_ON, PIECES, playwright
from tests.serve.conftest import KEY, save_tiny, serving

expect = playwright.expect
SEED = 3


def settle(page, **values: object) -> None:
    """Move the sliders, as a script can."""
    for name, value in values.items():
        field = page.locator(f"#{name}" if name == "seed" else f"#sliders-{name}")
        field.fill(str(value))


def say(page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()


def said(page) -> list[str]:
    """What the kept conversation holds of the model."""
    turns = page.evaluate("JSON.parse(localStorage.getItem('groundup-turns'))")
    return [turn["content"] for turn in turns if turn["role"] == "assistant"]


def answer(server, messages: list[dict], **settings) -> str:
    client = OpenAI(base_url=server.url, api_key="none")
    told = client.chat.completions.create(
        model="tiny", messages=messages, max_tokens=40, temperature=0.8, seed=SEED, **settings
    )
    return told.choices[0].message.content


def test_an_answer_that_has_not_begun_is_awaited(open_page, tokenizer, tmp_path):
    slow = save_tiny(tokenizer, tmp_path, "slow", d_model=256, n_layers=16, context_length=8192)
    with serving(slow, tmp_path / "log.txt") as server:
        page = open_page(server)
        page.get_by_label("Message").fill("@" * 6000)
        page.get_by_role("button", name="Send").click()
        awaited = page.locator(".turn.assistant .body .awaited")
        expect(awaited).to_have_text("The model is answering.")
        page.get_by_role("button", name="Stop").click()
        expect(awaited).to_have_count(0)


def test_it_shows_what_the_api_says_with_the_settings_that_are_chosen(open_page, tiny):
    page = open_page(tiny)
    expect(page.locator("#model")).to_have_text("tiny")
    settle(page, max_tokens=40, seed=SEED, top_k=20)
    page.get_by_label("System prompt").fill("Be kind.")
    say(page, "Where is 小明?")
    messages = [
        {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where is 小明?"}
    ]  # fmt: skip
    wanted = answer(tiny, messages, extra_body={"top_k": 20})
    assert said(page) == [wanted]
    expect(page.locator("#chat-status")).to_have_text(wanted)  # for those who hear it
    made = int(re.search(r"(\d+) written", page.locator("#counts").inner_text())[1])
    assert 1 <= made <= 40
    page.reload()
    expect(page.locator(".turn.user .body")).to_have_text("Where is 小明?")
    assert said(page) == [wanted]
    expect(page.get_by_label("System prompt")).to_have_value("Be kind.")
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".turn")).to_have_count(0)


def test_an_answer_can_be_had_again_and_a_question_changed(open_page, tiny):
    page = open_page(tiny)
    settle(page, max_tokens=40, seed=SEED)
    say(page, "One?")
    say(page, "Two?")
    first, second = said(page)
    settle(page, seed=SEED + 1)
    page.get_by_role("button", name="Answer again").click()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    assert said(page)[0] == first and said(page)[1] != second

    settle(page, seed=SEED)
    page.locator(".turn").nth(0).get_by_role("button", name="Edit").click()
    page.get_by_label("Edit").fill("Three?")
    page.get_by_role("button", name="Save and go on").click()
    expect(page.locator(".turn")).to_have_count(2)
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    assert said(page) == [answer(tiny, [{"role": "user", "content": "Three?"}])]


def test_a_changed_answer_is_what_the_model_is_told_it_said(open_page, tiny):
    page = open_page(tiny)
    settle(page, max_tokens=40, seed=SEED)
    say(page, "One?")
    page.locator(".turn").nth(1).get_by_role("button", name="Edit").click()
    page.get_by_label("Edit").fill("I know.")
    page.get_by_role("button", name="Save and go on").click()
    expect(page.locator(".turn.assistant .body")).to_have_text("I know.")
    say(page, "Then?")
    messages = [("user", "One?"), ("assistant", "I know."), ("user", "Then?")]
    wanted = answer(tiny, [{"role": role, "content": text} for role, text in messages])
    assert said(page) == ["I know.", wanted]


def test_stop_ends_the_answer_here_and_in_the_server(open_page, speaker):
    page = open_page(speaker)
    settle(page, max_tokens=4000)
    page.get_by_label("Message").fill("Go")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".turn.assistant")).to_contain_text(ON_AND_ON)  # it comes piece by piece
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".turn.assistant")).to_contain_text("(stopped)")
    (text,) = said(page)
    assert "".join(PIECES) in text and 0 < text.count(ON_AND_ON) < 3900
    deadline = time.monotonic() + 60
    while "groundup_open_requests 0.0" not in httpx.get(f"{speaker.root}/metrics").text:
        assert time.monotonic() < deadline
    expect(page.locator(".turn.assistant")).to_contain_text("(stopped)")
    assert said(page) == [text]


def test_markdown_is_drawn_and_nothing_in_it_runs(open_page, speaker):
    page = open_page(speaker)
    settle(page, max_tokens=len(PIECES))
    say(page, f"Say {ATTACK}")
    body = page.locator(".turn.assistant .body")
    expect(body.locator("h4")).to_have_text("Plan")
    expect(body.locator("strong")).to_have_text("bold")
    expect(body.locator("em")).to_have_text("slanted")
    expect(body.locator("p > code")).to_have_text("code <b>")
    expect(body.locator("ul > li")).to_have_count(2)
    expect(body.locator("ul > li > ol > li")).to_have_text("deep")
    expect(body.locator("pre")).to_have_text("print('<i>1</i>')")
    expect(body.locator("a")).to_have_attribute("href", "https://example.org/a")
    expect(body.locator("a")).to_have_attribute("rel", "noopener noreferrer")
    expect(body).to_contain_text("[unsafe](javascript:alert(1))")
    expect(body).to_contain_text(ATTACK)
    expect(page.locator(".turn.user .body")).to_have_text(f"Say {ATTACK}")
    expect(page.locator(".turn").locator("img, script, b, i")).to_have_count(0)
    assert page.title() == "speaker – groundup"
    page.reload()
    expect(page.locator(".turn")).to_have_count(2)
    assert page.title() == "speaker – groundup"


def test_hostile_markdown_is_drawn_at_once(open_page, speaker):
    nested = "".join(f"{' ' * i}- a\n" for i in range(200))
    texts = ["*" * 20_000, "`" * 20_001, "> " * 5000 + "a", "[" * 20_000, "_a " * 7000, nested,
             "**a " * 5000, "![](" * 5000, "```" * 5000, "1. " * 7000]  # fmt: skip
    page = open_page(speaker)
    seconds = page.evaluate(
        """async (texts) => {
            const { render } = await import("/page/markdown.js");
            return texts.map((text) => {
                const began = performance.now();
                render(text);
                return (performance.now() - began) / 1000;
            });
        }""",
        texts,
    )
    assert max(seconds) < 2


def test_both_languages_and_the_button_between_them(open_page, tiny):
    page = open_page(tiny, language="zh-CN")
    expect(page.get_by_role("button", name="发送")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    settle(page, max_tokens=5)
    page.get_by_label("消息").fill("小明在哪里？")
    page.get_by_role("button", name="发送").click()
    expect(page.get_by_role("button", name="停止")).to_be_hidden()
    expect(page.locator(".turn h2").first).to_have_text("你")
    page.get_by_role("button", name="English").click()
    expect(page.locator(".turn h2").first).to_have_text("You")
    expect(page.get_by_role("tab", name="Look inside")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_every_word_is_there_in_both_languages(open_page, tiny):
    page = open_page(tiny)
    missing = page.evaluate(
        """async () => {
            const { words } = await import("/page/words.js");
            const names = Object.fromEntries(
                Object.entries(words).map(([language, all]) => [language, Object.keys(all)]));
            const named = [...document.querySelectorAll(
                "[data-say], [data-say-label], [data-say-placeholder]")].flatMap(
                ({ dataset: d }) => [d.say, d.sayLabel, d.sayPlaceholder]).filter(Boolean);
            return { en: names.en.filter((n) => !names.zh.includes(n)),
                     zh: names.zh.filter((n) => !names.en.includes(n)),
                     page: named.filter((n) => !names.en.includes(n)) };
        }"""
    )
    assert missing == {"en": [], "zh": [], "page": []}


def test_by_keyboard_alone(open_page, tiny):
    page = open_page(tiny)
    expect(page.locator("#model")).to_have_text("tiny")
    settle(page, max_tokens=5)
    page.evaluate("document.activeElement.blur()")
    keys = page.keyboard

    def focused() -> str:
        return page.evaluate("document.activeElement.id || document.activeElement.textContent")

    def tab_to(name: str) -> None:
        for _ in range(30):
            if focused() == name:
                return
            keys.press("Tab")
        raise AssertionError(f"Tab does not come to {name}")

    tab_to("tab-chat")
    tab_to("language")
    tab_to("message")
    keys.type("Hi")
    keys.press("Shift+Enter")
    keys.type("there")
    keys.press("Enter")
    expect(page.locator(".turn.user .body")).to_have_text("Hi\nthere", use_inner_text=True)
    expect(page.locator("#send")).to_be_visible()
    assert len(said(page)) == 1 and focused() == "message"
    tab_to("again")
    keys.press("Enter")
    expect(page.locator("#again")).to_be_visible()
    tab_to("sliders-temperature")
    keys.press("Home")
    expect(page.locator("#sliders-temperature")).to_have_value("0")
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    tab_to("tab-chat")
    keys.press("ArrowRight")
    expect(page.get_by_role("tab", name="Look inside")).to_be_focused()
    expect(page.locator("#inside")).to_be_visible()
    expect(page.locator("#chat")).to_be_hidden()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_a_key_is_asked_for_once_and_kept_for_this_tab(open_page, directory, tmp_path):
    with serving(directory, tmp_path / "log.txt", "--api-key", KEY) as server:
        page = open_page(server)
        expect(page.get_by_role("dialog")).to_be_visible()
        page.locator("#key").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text("not the right one")
        page.locator("#key").fill(KEY)
        page.keyboard.press("Enter")
        expect(page.locator("#model")).to_have_text("tiny")
        # A browser itself tells of answers that are errors, such as the one to the wrong key.
        (told,) = open_page.watched[0].errors
        assert "401" in told
        open_page.watched[0].errors.clear()
        settle(page, max_tokens=5)
        say(page, "Hi")
        assert len(said(page)) == 1
        page.reload()
        expect(page.locator("#model")).to_have_text("tiny")
        expect(page.get_by_role("dialog")).to_be_hidden()
        assert page.evaluate("localStorage.getItem('groundup-key')") is None


def test_what_goes_wrong_is_said_and_can_be_tried_again(open_page, speaker, tmp_path):
    folder, log = speaker.log.parent / "speaker", tmp_path / "log.txt"
    with serving(folder, log, "--max-batch", 1, "--max-queue", 0) as server:
        page = open_page(server)
        settle(page, max_tokens=30)
        endless = {"messages": [{"role": "user", "content": "Go"}], "stream": True}
        with httpx.stream("POST", f"{server.url}/chat/completions", json=endless) as held:
            lines = held.iter_lines()  # without a name it would be closed at once
            next(lines)
            say(page, "Hi")
            expect(page.get_by_role("alert").last).to_contain_text("busy")
        expect_idle(server)
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_role("button", name="Stop")).to_be_hidden()
        expect(page.get_by_role("button", name="Try again")).to_have_count(0)
        assert len(said(page)) == 1
        say(page, "@" * 5000)
        expect(page.get_by_role("alert").last).to_contain_text("longer than the model can read")
        server.process.kill()
        server.process.wait()
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_role("alert").last).to_contain_text("does not answer")
    told = open_page.watched[0].errors
    assert len(told) == 3 and all(known in line for known, line in zip(
        ("429", "400", "ERR_CONNECTION_REFUSED"), told, strict=True
    ))  # fmt: skip
    told.clear()


def test_a_server_that_dies_on_the_way_leaves_what_was_said(open_page, speaker, tmp_path):
    with serving(speaker.log.parent / "speaker", tmp_path / "log.txt") as server:
        page = open_page(server)
        settle(page, max_tokens=4000)
        page.get_by_label("Message").fill("Go")
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".turn.assistant")).to_contain_text(ON_AND_ON)
        server.process.kill()
        server.process.wait()
        expect(page.get_by_role("alert").last).to_contain_text("broke off")
        assert "".join(PIECES) in said(page)[0]
    told = open_page.watched[0].errors
    assert len(told) == 1 and "ERR_" in told[0]
    told.clear()


def expect_idle(server) -> None:
    deadline = time.monotonic() + 60
    while "groundup_open_requests 0.0" not in httpx.get(f"{server.root}/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_model_without_turns_goes_on_with_a_text(open_page, model, tokenizer, tmp_path):
    from groundup.weights.directory import save

    tokenizer.chat_template, kept = None, tokenizer.chat_template
    try:
        save(model, tokenizer, tmp_path / "plain")
    finally:
        tokenizer.chat_template = kept
    with serving(tmp_path / "plain", tmp_path / "log.txt") as server:
        page = open_page(server)
        settle(page, max_tokens=20, seed=SEED)
        field = page.get_by_label("Message")
        field.fill("Mia is in the ")
        page.get_by_role("button", name="Go on").click()
        expect(page.get_by_role("button", name="Answer again")).to_be_visible()
        client = OpenAI(base_url=server.url, api_key="none")
        wanted = client.completions.create(
            model="plain", prompt="Mia is in the ", max_tokens=20, temperature=0.8, seed=SEED
        )
        continued = "Mia is in the " + wanted.choices[0].text
        expect(field).to_have_value(
            continued.replace("\r\n", "\n").replace("\r", "\n")
        )  # as fields do
        settle(page, seed=SEED + 1)
        page.get_by_role("button", name="Answer again").click()
        expect(page.get_by_role("button", name="Answer again")).to_be_visible()
        assert field.input_value().startswith("Mia is in the ")
        assert field.input_value() != continued
        page.reload()
        expect(field).to_have_value(re.compile("^Mia is in the .+"))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1200])
def test_it_fits_phones_and_screens(open_page, speaker, width: int, dark: bool):
    page = open_page(speaker, width=width, dark=dark)
    # The sliders come with the model's name, and with them the settings open on a wide screen.
    page.locator("#sliders-max_tokens").wait_for(state="attached")
    if page.locator("#sliders-max_tokens").is_hidden():
        page.locator("#settings summary").click()
    settle(page, max_tokens=len(PIECES))
    say(page, "Say something with " + "a-very-long-word" * 20)
    expect(page.locator(".turn.assistant pre")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
