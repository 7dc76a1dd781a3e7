"""What the page asks for to look inside: over HTTP the library's own numbers, and the page's files."""

import httpx2 as httpx
import pytest
import torch
from tests.serve.conftest import KEY

from groundup.evaluate import inside
from groundup.generation.sampling import SamplingConfig
from groundup.serve.inside import MOST_MAPPED
from groundup.weights.directory import load

HEADERS = {"Authorization": f"Bearer {KEY}"}
TEXT = "Mia is in the garden. 小明在花园，鑫。<|end|>"
LOOKS = ("tokens", "surprise", "next", "lens", "attention")


def ask(server, look: str, status: int = 200, **body) -> dict:
    answer = httpx.post(f"{server.url}/inside/{look}", json=body, headers=HEADERS, timeout=60)
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def loaded(directory):
    model, tokenizer = load(directory)
    return model.eval(), tokenizer, tokenizer.encode_prompt(TEXT)


def test_the_description_says_what_can_be_asked(server):
    told = httpx.get(f"{server.url}/inside", headers=HEADERS).json()
    assert told == {
        "object": "inside", "model": "tiny", "is_classifier": False, "knows_turns": True,
        "context_length": 1024, "vocab_size": 361, "n_layers": 2, "n_heads": 4,
        "attention_layers": [0, 1], "most_mapped": MOST_MAPPED,
    }  # fmt: skip


def test_tokens_are_the_tokenizer_s_in_whole_characters(server, loaded):
    _, tokenizer, ids = loaded
    pieces = ask(server, "tokens", text=TEXT)["pieces"]
    assert "".join(piece["text"] for piece in pieces) == TEXT
    assert [token["id"] for piece in pieces for token in piece["tokens"]] == ids
    (han,) = (piece for piece in pieces if piece["text"] == "鑫")
    assert b"".join(bytes(token["bytes"]) for token in han["tokens"]).decode() == "鑫"
    assert [token["text"] for token in han["tokens"]] == ["�"] * 3
    assert ids[han["position"]] == han["tokens"][0]["id"]
    assert [piece["text"] for piece in pieces if piece["is_special"]] == ["<|end|>"]


def test_surprise_is_the_library_s(server, loaded):
    model, _, ids = loaded
    told = ask(server, "surprise", text=TEXT)
    wanted = inside.surprise(model, ids)
    assert told["bits"][0] is None and told["n_tokens"] == len(ids)
    assert told["bits"][1:] == pytest.approx(wanted.tolist(), abs=1e-5)
    assert told["mean_bits"] == pytest.approx(wanted.mean().item(), abs=1e-5)
    alone = ask(server, "surprise", text="a")
    assert alone["bits"] == [None] and alone["mean_bits"] is None


@pytest.mark.parametrize("position", [None, 0, 5])
def test_next_is_the_library_s_at_each_narrowing(server, loaded, position: int | None):
    model, _, ids = loaded
    limits = {"temperature": 0.7, "top_k": 200, "top_p": 0.4, "min_p": 0.9}
    told = ask(server, "next", text=TEXT, position=position, top=50, **limits)
    before = ids if position is None else ids[: position + 1]
    steps = list(inside.narrowings(inside.next_logits(model, before), SamplingConfig(**limits)))
    assert [step["name"] for step in told["steps"]] == ["model", *limits]
    best = [token["id"] for token in told["tokens"]]
    probabilities = steps[0][1]
    assert probabilities[best].tolist() == probabilities.topk(50).values.tolist()
    for step, (name, wanted) in zip(told["steps"], steps, strict=True):
        assert step["name"] == name and step["kept"] == (wanted > 0).sum()
        assert step["probabilities"] == pytest.approx(wanted[best].tolist(), abs=1e-6)
    kept = [step["kept"] for step in told["steps"]]
    assert kept[0] == kept[1] > kept[2] > kept[3] > kept[4] > 0


def test_without_narrowing_there_is_none_and_cold_is_certain(server):
    plain = ask(server, "next", text=TEXT)
    assert [step["name"] for step in plain["steps"]] == ["model", "temperature"]
    assert plain["steps"][0] | {"name": ""} == plain["steps"][1] | {"name": ""}
    cold = ask(server, "next", text=TEXT, temperature=0, top_k=5)["steps"]
    assert cold[-1]["name"] == "temperature" and cold[-1]["probabilities"] == [1.0] + [0.0] * 19


def test_the_lens_is_the_library_s(server, loaded):
    model, _, ids = loaded
    told = ask(server, "lens", text=TEXT, position=7, top=3)["stages"]
    assert [stage["layer"] for stage in told] == [None, 0, 1]
    for stage, wanted in zip(told, inside.logit_lens(model, ids[:8]), strict=True):
        for token in stage["tokens"]:
            assert token["probability"] == pytest.approx(wanted[token["id"]].item(), abs=1e-6)
        found = [token["probability"] for token in stage["tokens"]]
        assert found == pytest.approx(wanted.topk(3).values.tolist(), abs=1e-6)
    after = ask(server, "next", text=TEXT, position=7)
    last = {token["id"]: token["probability"] for token in told[-1]["tokens"]}
    first = zip(after["tokens"], after["steps"][0]["probabilities"], strict=True)
    assert last == pytest.approx({t["id"]: p for t, p in list(first)[:3]}, abs=1e-6)


def test_attention_is_the_library_s(server, loaded):
    model, _, ids = loaded
    for layer, head in ((0, 0), (1, 3)):
        rows = ask(server, "attention", text=TEXT, layer=layer, head=head)["weights"]
        assert [len(row) for row in rows] == list(range(1, len(ids) + 1))
        wanted = inside.attention_map(model, ids, layer)[head]
        for row, weights in zip(rows, wanted, strict=True):
            torch.testing.assert_close(torch.tensor(row), weights[: len(row)])


def test_looking_leaves_the_model_as_it_was(server):
    def answer() -> str:
        return server.client().completions.create(
            model="tiny", prompt="Mia", max_tokens=20, temperature=0
        ).choices[0].text  # fmt: skip

    before = answer()
    for look in LOOKS:
        ask(server, look, text=TEXT)
    assert answer() == before


@pytest.mark.parametrize("look", LOOKS)
def test_what_cannot_be_looked_at_is_refused(server, look: str):
    long = ask(server, look, 400, text="@" * 1025)["error"]
    assert long["code"] == "context_length_exceeded" and "1,025 tokens" in long["message"]
    assert ask(server, look, 400, text="")["error"]["param"] == "text"
    assert ask(server, look, 404, text="a", model="other")["error"]["code"] == "model_not_found"
    assert "'text'" in ask(server, look, 400, text="a", txet="b")["error"]["message"]
    keyless = httpx.post(f"{server.url}/inside/{look}", json={"text": "a"})
    assert keyless.status_code == 401


@pytest.mark.parametrize(
    ("look", "body", "said"),
    [
        ("next", {"position": 9}, "there is no token 9: the text has 1"),
        ("lens", {"position": 1}, "there is no token 1"),
        ("next", {"top_p": 0}, "top_p"),
        ("attention", {"layer": 2}, "there is no layer 2"),
        ("attention", {"head": 4}, "there is no head 4"),
        ("attention", {"text": "@" * (MOST_MAPPED + 1)}, f"up to {MOST_MAPPED}"),
    ],
)
def test_places_that_are_not_there_are_named(server, look: str, body: dict, said: str):
    assert said in ask(server, look, 400, **({"text": "a"} | body))["error"]["message"]


@pytest.mark.parametrize(
    ("path", "type_"),
    [("/", "text/html"), ("/page/main.js", "text/javascript"), ("/page/style.css", "text/css"),
     ("/page/icon.svg", "image/svg+xml")],
)  # fmt: skip
def test_the_page_is_open_and_may_only_load_its_own_files(server, path: str, type_: str):
    answer = httpx.get(server.root + path)
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith(type_)
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/page/nothing.js", "/page/", "/page/../v1/models", "/page/%2e%2e%2fv1%2fmodels",
             "/page/..%2fapp.py", "/page//etc/passwd", "/page/main.js/../../../app.py"],
)  # fmt: skip
def test_nothing_else_is_open_beside_it(server, path: str):
    """As a client that sends paths as they stand: most tidy them up first."""
    import http.client

    connection = http.client.HTTPConnection(server.root.removeprefix("http://"))
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 404 and b'"error"' in answer.read()
    connection.close()


def test_a_wrong_path_stays_an_error_in_json(server):
    assert httpx.get(f"{server.root}/nothing").status_code == 401
    answer = httpx.get(f"{server.root}/nothing", headers=HEADERS)
    assert answer.status_code == 404 and "/nothing" in answer.json()["error"]["message"]
    assert httpx.post(f"{server.root}/", headers=HEADERS).status_code == 405
