"""The tabs "Training" and "Time machine", in a browser: their numbers are the log's, their texts the
library's."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from groundup import generate
from groundup.recipe.directory import RunDirectory
from groundup.recipe.trainings import trainings_of
from groundup.weights.directory import load
from tests.browser.conftest import playwright
from tests.serve.conftest import KEY, Server, serving
from tests.serve.runs import (
    FINETUNE_STEPS,
    PRETRAIN_STEPS,
    build,
    build_classifier,
    with_many_checkpoints,
)

expect = playwright.expect


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("runs") / "stories")


@pytest.fixture(scope="module")
def server(run_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(run_directory, tmp_path_factory.mktemp("log") / "log.txt") as running:
        yield running


def log(run: Path, name: str) -> list[dict]:
    lines = (run / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def chart(page, title: str):
    heading = page.get_by_role("heading", name=title, exact=True)
    return page.locator("#curves section").filter(has=heading)


def read_off(page, title: str) -> list[tuple[int, dict[str, float]]]:
    """All points of a chart, as the keyboard reads them."""
    drawing, readout = chart(page, title).locator("svg"), chart(page, title).locator(".readout")
    drawing.focus()
    page.keyboard.press("Home")
    found: list[tuple[int, dict[str, float]]] = []
    while True:
        step, *values = readout.inner_text().split(" · ")
        at = int(step.removeprefix("step "))
        if found and found[-1][0] == at:
            return found
        told = dict(value.rsplit(": ", 1) for value in values)
        found.append((at, {name: float(value) for name, value in told.items()}))
        page.keyboard.press("ArrowRight")


def shown(value: float) -> float:
    return float(f"{value:.5g}")


def test_the_curves_and_samples_are_the_log_s(open_page, server, run_directory):
    page = open_page(server, path="/#training")
    page.locator("#training-name").select_option("pretrain")
    expect(page.locator("#training-status")).to_have_text("Finished after 40 steps.")
    rows = log(run_directory, "pretrain")
    losses: dict[int, dict[str, float]] = {}
    for row in rows:
        for figure, name in (("loss", "Training loss"), ("val_loss", "Validation loss")):
            if figure in row:
                losses.setdefault(row["step"], {})[name] = shown(row[figure])
    assert read_off(page, "Loss (nats)") == sorted(losses.items())
    for figure, name in (
        ("val_bits_per_byte", "Validation bits per byte"),
        ("rate", "Learning rate (share of its peak)"),
        ("gradient_norm", "Gradient norm (before clipping)"),
    ):
        points = {row["step"]: {name: shown(row[figure])} for row in rows if figure in row}
        assert read_off(page, name) == sorted(points.items())
    first, *_ = (row for row in rows if "loss" in row)
    ((step, speed), *_) = read_off(page, "Tokens per second")
    assert step == 1 and speed == {"Tokens per second": shown(first["tokens"] / first["seconds"])}
    written = [row for row in rows if "sample" in row]
    items = page.locator("#samples li")
    expect(items).to_have_count(len(written))
    for item, row in zip(items.all(), reversed(written), strict=True):
        assert item.locator("h3").inner_text() == f"step {row['step']}"
        assert item.locator("p").evaluate("(place) => place.textContent") == row["sample"]


def test_a_training_is_watched_while_it_goes_on(open_page, run_directory, tmp_path):
    run = shutil.copytree(run_directory, tmp_path / "live")
    shutil.rmtree(run / "finetune")
    summary = run / "pretrain/summary.json"
    done = summary.read_text()
    summary.unlink()
    with serving(run, tmp_path / "log.txt") as server:
        page = open_page(server, path="/#training")
        status = page.locator("#training-status")
        expect(status).to_contain_text("Step 40 of 40; last news")
        readout = chart(page, "Loss (nats)").locator(".readout")
        chart(page, "Loss (nats)").locator("svg").focus()
        with (run / "pretrain/metrics.jsonl").open("a") as file:
            file.write('{"step": 50, "loss": 1.25, "tokens": 20000, "seconds": 1e3}\n')
        expect(readout).to_have_text("step 50 · Training loss: 1.25")
        expect(
            chart(page, "Loss (nats)").locator("svg")
        ).to_be_focused()  # a look takes nothing away
        summary.write_text(done)
        expect(status).to_have_text("Finished after 50 steps.")
        page.locator("#training-name").select_option("finetune")
        expect(status).to_have_text("It has not begun.")
        expect(page.locator("#curves section")).to_have_count(0)
        expect(page.locator("#about-samples")).to_have_text("It has written no samples.")


def ask_all(page, prompt: str) -> None:
    page.get_by_label("Beginning of a text").fill(prompt)
    page.get_by_role("button", name="Ask every checkpoint").click()


def settle(page, **values: object) -> None:
    for name, value in values.items():
        page.locator("#time-seed" if name == "seed" else f"#same-{name}").fill(str(value))


def test_every_checkpoint_says_what_generate_says_of_it(open_page, server, run_directory):
    page = open_page(server, path="/#time")
    kept = page.locator("#kept-checkpoints")
    expect(kept).to_contain_text(
        "Kept checkpoints (4): step 10, 20, 30, 40. A run keeps its newest 8"
    )
    expect(kept).to_contain_text("--pretrain.train.keep_checkpoints")
    expect(page.get_by_label("Beginning of a text")).to_have_value("Mia is in")  # as in the recipe
    settings = {"temperature": 1.2, "top_p": 0.9, "top_k": 50}
    losses = {r["step"]: r["val_loss"] for r in log(run_directory, "pretrain") if "val_loss" in r}
    for name, steps in (("pretrain", PRETRAIN_STEPS), ("finetune", FINETUNE_STEPS)):
        page.locator("#time-name").select_option(name)
        settle(page, max_tokens=12, seed=7, **settings)
        ask_all(page, "Tom is ")
        expect(page.locator("#time-status")).to_have_text(
            f"{len(steps)} checkpoints have answered."
        )
        items = page.locator("#times li")
        expect(items).to_have_count(len(steps))
        training = next(
            each for each in trainings_of(RunDirectory(run_directory)) if each.name == name
        )
        for item, step in zip(items.all(), steps, strict=True):
            wanted = generate(
                *training.load(step), "Tom is ", max_new_tokens=12, seed=7, **settings
            )
            assert item.locator(".said").evaluate("(place) => place.textContent") == wanted
            heading = item.locator("h3").inner_text()
            if name == "pretrain":
                loss = f" · validation loss {shown(losses[step])}" if step in losses else ""
                assert heading == f"step {step}{loss}"
    model, tokenizer = load(run_directory / "pretrain/model")
    page.locator("#time-name").select_option("pretrain")
    expect(page.locator("#times li")).to_have_count(0)
    ask_all(page, "Tom is ")
    expect(page.locator("#times li")).to_have_count(4)
    expect(page.locator("#time-status")).to_contain_text("answered")
    last = page.locator("#times li").last.locator(".said")
    wanted = generate(model, tokenizer, "Tom is ", max_new_tokens=12, seed=7, **settings)
    assert last.evaluate("(place) => place.textContent") == wanted


def test_it_can_be_stopped_and_a_second_one_is_told_to_wait(open_page, run_directory, tmp_path):
    run = with_many_checkpoints(run_directory, tmp_path / "many")
    with serving(run, tmp_path / "log.txt") as server:
        page, other = (open_page(server, path="/#time") for _ in range(2))
        expect(page.locator("#kept-checkpoints")).to_contain_text(
            "(1004): step 10, 20, 30, 40, 1001"
        )
        ask_all(page, "Mia")
        expect(page.locator("#times li").nth(2)).to_be_visible()  # they come one by one
        ask_all(other, "Tom")
        expect(other.locator("#time-status")).to_contain_text("busy")
        (told,) = open_page.watched[1].errors
        assert "429" in told
        open_page.watched[1].errors.clear()
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("#time-status")).to_have_text("Stopped.")
        expect(page.locator("#go")).to_be_focused()
        assert page.locator("#times li").count() < 1004
        while server_is_busy(server):
            page.wait_for_timeout(50)
        ask_all(other, "Tom")
        expect(other.locator("#times li").first).to_contain_text("Tom")
        other.get_by_role("button", name="Stop").click()
        expect(other.locator("#time-status")).to_have_text("Stopped.")


def server_is_busy(server: Server) -> bool:
    body = {"prompt": "a", "steps": [10], "max_tokens": 1}
    return httpx.post(f"{server.url}/run/pretrain/retell", json=body).status_code == 429


def test_what_is_refused_is_said_in_words(open_page, server):
    page = open_page(server, path="/#time")
    ask_all(page, "@" * 65)
    expect(page.locator("#time-status")).to_contain_text("the prompt has 65 tokens")
    (told,) = open_page.watched[0].errors
    assert "400" in told
    open_page.watched[0].errors.clear()


def test_a_model_of_no_run_says_so_and_how_to_get_one(open_page, tiny):
    page = open_page(tiny)
    for tab, place in (("Training", "#no-training"), ("Time machine", "#no-time")):
        page.get_by_role("tab", name=tab).click()
        expect(page.locator(place)).to_contain_text("lies in no run of groundup")
        expect(page.locator(place)).to_contain_text("groundup serve runs/mine")
    expect(page.locator("#course")).to_be_hidden()
    expect(page.locator("#travel")).to_be_hidden()


def test_a_classifier_writes_nothing_but_its_training_is_seen(open_page, tmp_path):
    with serving(build_classifier(tmp_path), tmp_path / "log.txt") as server:
        page = open_page(server)
        expect(page.get_by_role("alert").first).to_contain_text("This model gives labels")
        expect(page.get_by_role("tab")).to_have_count(2)
        expect(page.locator("#training-status")).to_have_text("Finished after 4 steps.")
        expect(chart(page, "Loss (nats)")).to_be_visible()
        page.get_by_role("tab", name="Training").press("ArrowRight")
        page.locator("#time-name").select_option("finetune")
        expect(page.locator("#kept-checkpoints")).to_contain_text("a classifier")
        expect(page.get_by_role("button", name="Ask every checkpoint")).to_be_disabled()
        page.locator("#time-name").select_option("pretrain")
        settle(page, max_tokens=2)
        ask_all(page, "Tom")
        expect(page.locator("#time-status")).to_have_text("4 checkpoints have answered.")


def test_by_keyboard_alone(open_page, server):
    page = open_page(server)
    expect(page.locator("#model")).to_have_text("stories")
    keys = page.keyboard

    def focused() -> str:
        return page.evaluate("document.activeElement.id || document.activeElement.tagName")

    page.locator("#tab-chat").focus()
    for _ in range(3):
        keys.press("ArrowRight")
    assert focused() == "tab-time"
    expect(page.locator("#kept-checkpoints")).to_contain_text("(4)")
    reached = []
    while reached[-1:] != ["go"] and len(reached) < 20:
        keys.press("Tab")
        reached.append(focused())
    sliders = [f"same-{name}" for name in ("temperature", "top_p", "top_k", "max_tokens")]
    assert reached == ["language", "time-name", "prompt", *sliders, "time-seed", "go"]
    settle(page, max_tokens=3)
    page.locator("#prompt").focus()
    keys.press("Control+A")
    keys.type("Tom")
    keys.press("Control+Enter")
    expect(page.locator("#time-status")).to_have_text("4 checkpoints have answered.")
    page.locator("#tab-time").focus()
    keys.press("ArrowLeft")
    assert focused() == "tab-training"
    expect(page.locator("#training-status")).to_contain_text("Finished")
    keys.press("Tab")
    keys.press("Tab")
    assert focused() == "training-name"
    keys.press("Tab")
    assert focused() == "svg"


def test_in_chinese_with_a_key(open_page, run_directory, tmp_path):
    with serving(run_directory, tmp_path / "log.txt", "--api-key", KEY) as server:
        page = open_page(server, language="zh-CN", path="/#time")
        page.locator("#key").fill(KEY)
        page.keyboard.press("Enter")
        expect(page.locator("#kept-checkpoints")).to_contain_text(
            "留下的检查点（4 个）：第 10, 20, 30, 40 步"
        )
        settle(page, max_tokens=3)
        page.get_by_role("button", name="问每个检查点").click()
        expect(page.locator("#time-status")).to_have_text("4 个检查点回答完了。")
        expect(page.locator("#times h3").nth(1)).to_have_text(re.compile("第 20 步 · 验证损失 .+"))
        page.get_by_role("tab", name="训练").click()
        expect(page.locator("#training-status")).to_have_text("已完成，共 8 步。")
        page.get_by_role("button", name="English").click()
        expect(page.locator("#training-status")).to_have_text("Finished after 8 steps.")
        expect(chart(page, "Loss (nats)").locator(".readout")).to_contain_text("step 8")


def test_a_run_of_one_step_has_dots_in_the_middle_and_one_checkpoint(open_page, tmp_path):
    short = {"steps": 1, "checkpoint_every": 1, "eval_every": 1}
    run = build(tmp_path / "short", pretrain={"train": short}, finetune={"train": short})
    with serving(run, tmp_path / "log.txt") as server:
        page = open_page(server, path="/#training")
        page.locator("#training-name").select_option("pretrain")
        plot = chart(page, "Learning rate (share of its peak)")
        expect(plot.locator(".steps span")).to_have_text(["1"])
        ways = plot.locator("path.dots").evaluate_all(
            "all => all.map((one) => one.getAttribute('d'))"
        )
        assert ways == ["M500.0 150.0h0"]
        top, bottom = (float(plot.locator(kind).inner_text()) for kind in (".top", ".bottom"))
        assert bottom < top
        page.get_by_role("tab", name="Time machine").click()
        settle(page, max_tokens=3)
        page.get_by_role("button", name="Ask every checkpoint").click()
        expect(page.locator("#time-status")).to_have_text("1 checkpoint has answered.")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1200])
def test_it_fits_phones_and_screens(open_page, server, width: int, dark: bool):
    page = open_page(server, width=width, dark=dark, path="/#time")
    settle(page, max_tokens=60)
    ask_all(page, "Mia is in the garden. " * 2)
    expect(page.locator("#time-status")).to_contain_text("answered")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    other = open_page(server, width=width, dark=dark, path="/#training")
    other.locator("#training-name").select_option("pretrain")
    expect(other.locator("#curves section")).to_have_count(10)
    assert other.evaluate("document.documentElement.scrollWidth") <= width
