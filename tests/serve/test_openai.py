"""The server as OpenAI's own client sees it; every text equals what the library says."""

import base64
import json

import httpx2 as httpx
import numpy as np
import pytest
import torch
from openai import AuthenticationError, BadRequestError, NotFoundError
from tests.serve.conftest import KEY, serving

from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.generation.text import Completion, complete
from groundup.weights.directory import load

ASKED = [{"role": "user", "content": "Where is Tom?"}]


@pytest.fixture(scope="module")
def loaded(directory):
    return load(directory)


def said(loaded, prompt: list[int], stop=(), **settings) -> Completion:
    """What the library says to the same prompt."""
    model, tokenizer = loaded
    completion = Completion(prompt)
    "".join(complete(Engine(model), tokenizer, completion, SamplingConfig(**settings), stop))
    return completion


def test_log_probs_of_an_echoed_prompt_are_refused_as_there_are_none(server):
    with pytest.raises(BadRequestError, match="leave out echo"):
        server.client().completions.create(model="tiny", prompt="Mia", echo=True, logprobs=1)


def test_the_model_is_listed(server):
    (model,) = server.client().models.list().data
    assert model.id == "tiny" and server.client().models.retrieve("tiny").owned_by == "groundup"
    with pytest.raises(NotFoundError, match="there is no model 'gpt-5': this server has 'tiny'"):
        server.client().models.retrieve("gpt-5")


@pytest.mark.parametrize(
    "settings", [{"temperature": 0}, {"temperature": 1.0, "seed": 3, "top_p": 0.9}]
)
def test_a_chat_is_answered_as_the_library_answers(server, loaded, settings):
    prompt = loaded[1].encode_chat(ASKED, add_generation_prompt=True)
    expected = said(loaded, prompt, max_new_tokens=12, **settings)
    answer = server.client().chat.completions.create(
        model="tiny", messages=ASKED, max_tokens=12, **settings
    )
    choice = answer.choices[0]
    assert choice.message.content == expected.text.lstrip()
    assert choice.finish_reason == expected.finish_reason
    assert answer.usage and answer.usage.prompt_tokens == len(prompt)
    assert answer.usage.completion_tokens == len(expected.token_ids) + (
        choice.finish_reason == "stop"
    )


def test_a_cache_in_8_bits_answers_as_the_librarys(directory, loaded, tmp_path):
    model, tokenizer = loaded
    prompt = tokenizer.encode_chat(ASKED, add_generation_prompt=True)
    expected, greedy = Completion(prompt), SamplingConfig(temperature=0, max_new_tokens=12)
    "".join(complete(Engine(model, kv_cache_dtype="int8"), tokenizer, expected, greedy))
    flags = ("--api-key", KEY, "--kv-cache-dtype", "int8")
    with serving(directory, tmp_path / "log.txt", *flags) as server:
        answer = server.client().chat.completions.create(
            model="tiny", messages=ASKED, max_tokens=12, temperature=0
        )
    assert answer.choices[0].message.content == expected.text.lstrip()


def test_a_stream_has_the_same_text_and_tells_its_usage(server):
    ask = {"model": "tiny", "messages": ASKED, "max_tokens": 12, "temperature": 0}
    whole = server.client().chat.completions.create(**ask)
    stream = server.client().chat.completions.create(
        **ask, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage and not chunks[-1].choices


def test_several_answers_have_seeds_of_their_own(server, loaded):
    answer = server.client().completions.create(
        model="tiny", prompt="Mia is", max_tokens=10, n=3, seed=5, temperature=1.5
    )
    prompt = loaded[1].encode_prompt("Mia is")
    expected = [
        said(loaded, prompt, max_new_tokens=10, temperature=1.5, seed=5 + i) for i in range(3)
    ]
    assert [choice.text for choice in answer.choices] == [each.text for each in expected]
    assert len({choice.text for choice in answer.choices}) > 1
    assert answer.usage and answer.usage.prompt_tokens == len(prompt)


def test_several_prompts_are_answered_in_their_order(server, loaded):
    prompts = ["Mia is", "Where", "小明"]
    answer = server.client().completions.create(
        model="tiny", prompt=prompts, max_tokens=6, temperature=0, echo=True
    )
    for choice, prompt in zip(answer.choices, prompts, strict=True):
        ids = loaded[1].encode_prompt(prompt)
        assert choice.text == prompt + said(loaded, ids, max_new_tokens=6, temperature=0).text


def test_an_answer_ends_before_a_stop_string(server, loaded):
    prompt = loaded[1].encode_prompt("Mia is")
    whole = said(loaded, prompt, max_new_tokens=20, temperature=0).text
    stop = whole[4:6]
    answer = server.client().completions.create(
        model="tiny", prompt="Mia is", max_tokens=20, temperature=0, stop=[stop]
    )
    assert answer.choices[0].text == whole[: whole.index(stop)]
    assert answer.choices[0].finish_reason == "stop"


def test_log_probs_are_the_model_s(server, loaded):
    model, tokenizer = loaded
    answer = server.client().chat.completions.create(
        model="tiny", messages=ASKED, max_tokens=5, temperature=0, logprobs=True, top_logprobs=3
    )
    content = answer.choices[0].logprobs.content
    ids = tokenizer.encode_chat(ASKED, add_generation_prompt=True)
    for entry in content:
        log_probs = model(torch.tensor([ids]))[0, -1].log_softmax(-1)
        best = log_probs.topk(3)
        assert entry.logprob == pytest.approx(best.values[0].item(), abs=1e-4)
        assert [t.logprob for t in entry.top_logprobs] == pytest.approx(
            best.values.tolist(), abs=1e-4
        )
        assert bytes(entry.bytes) == tokenizer.token_bytes(int(best.indices[0]))
        ids.append(int(best.indices[0]))


@pytest.mark.parametrize("stream", [False, True])
def test_offsets_of_a_completion_count_the_characters_from_its_start(server, loaded, stream):
    more = {"model": "tiny", "prompt": ["小明", "Mia"], "max_tokens": 60, "seed": 2, "logprobs": 1}
    if stream:
        choices = [c.choices[0] for c in server.client().completions.create(**more, stream=True)]
    else:
        choices = server.client().completions.create(**more).choices
    for index in range(2):
        mine = [c.logprobs for c in choices if c.index == index]
        tokens = [name for told in mine for name in told.tokens]
        offsets = [at for told in mine for at in told.text_offset]
        assert len(offsets) == len(tokens) > 10 and offsets[0] == 0
        # Where no character is cut, a token begins where those before it end.
        for number in range(1, len(tokens)):
            if "�" not in "".join(tokens[:number]):
                assert offsets[number] == len("".join(tokens[:number]))
        text = "".join(c.text for c in choices if c.index == index)
        assert offsets == sorted(offsets) and offsets[-1] <= len(text)


def test_lists_of_token_ids_are_as_many_texts(server, loaded):
    texts = ["Mia is in the garden.", "Tom"]
    ids = [loaded[1].encode_prompt(text) for text in texts]
    client, settings = server.client(), {"model": "tiny", "max_tokens": 6, "temperature": 0}

    def said(prompt) -> list[str]:
        return [c.text for c in client.completions.create(prompt=prompt, **settings).choices]

    def vectors(given) -> list[list[float]]:
        made = client.embeddings.create(model="tiny", input=given, encoding_format="float")
        return [row.embedding for row in made.data]

    assert said(ids) == said(texts) and said(ids[0]) == said(texts[:1])
    assert vectors(ids) == vectors(texts) and vectors(ids[1]) == vectors(texts[1])
    for wrong in ([[1, 2], [999_999]], [10**30], [[]], []):
        with pytest.raises(BadRequestError):
            vectors(wrong)


def test_what_stock_clients_send_and_changes_nothing_is_accepted(server):
    ask = {"model": "tiny", "messages": ASKED, "max_tokens": 5, "seed": 1}
    harmless = {"store": False, "metadata": {"a": "b"}, "service_tier": "auto", "user": "me",
                "reasoning_effort": "none", "safety_identifier": "x", "prompt_cache_key": "y"}  # fmt: skip
    create = server.client().chat.completions.create
    plain, more = create(**ask), create(**ask, **harmless)
    assert plain.choices[0].message == more.choices[0].message
    for name, value in (("store", True), ("service_tier", "flex"), ("reasoning_effort", "high")):
        with pytest.raises(BadRequestError, match=name):
            create(**ask, extra_body={name: value})


@pytest.mark.parametrize(
    ("path", "body", "param", "said"),
    [
        ("chat/completions", {}, "messages", "messages: Field required"),
        ("chat/completions", None, "messages", "the body is empty: messages is required"),
        ("embeddings", None, "input", "the body is empty: input is required"),
        ("embeddings", {"input": 5}, "input", "input: Input should be a valid string"),
        ("embeddings", {"input": ["a", 5]}, "input.1", "input.1: Input should be a valid string"),
        (
            "chat/completions", {"messages": [{"role": "user", "content": 5}]},
            "messages.0.content", "messages.0.content: Input should be a valid string",
        ),
        (
            "chat/completions",
            {"messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]}]},
            "messages.0.content.0", "only text parts are read here, none of type 'image_url'",
        ),
        (
            "chat/completions", {"messages": ASKED, "tool_choice": {"type": "function"}},
            "tool_choice.function", "tool_choice.function: Field required",
        ),
        ("chat/completions", {"messages": ASKED, "strem": 1}, "strem", "did you mean 'stream'?"),
        ("completions", {"prompt": "a", "promt": "a"}, "promt", "did you mean 'prompt'?"),
        (
            "chat/completions", {"messages": [{"rle": "user", "content": "a", "role": "user"}]},
            "messages.0.rle", "did you mean 'role'?",
        ),
    ],
)  # fmt: skip
def test_the_place_of_an_error_is_one_in_the_body(server, path, body, param, said):
    content = b"" if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    answer = httpx.post(f"{server.url}/{path}", content=content, headers=headers)
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["param"] == param, error
    assert said in error["message"]


@pytest.mark.parametrize("path", ["embeddings", "completions"])
def test_no_name_of_another_body_is_offered(server, path):
    """`messages` and `tools` are names of chats only."""
    headers = {"Authorization": f"Bearer {KEY}"}
    for name in ("messages", "tools", "parallel_tool_calls", "documents"):
        body = {"input": "a", "prompt": "a"} | {name: 1}
        del body["prompt" if path == "embeddings" else "input"]
        error = httpx.post(f"{server.url}/{path}", json=body, headers=headers).json()["error"]
        assert error["code"] == "unknown_field" and error["message"].startswith(
            f"unknown field {name!r}"
        )
        assert f"mean '{name}'" not in error["message"]


def test_embeddings_have_length_one_and_tell_texts_apart(server):
    texts = ["Mia is in the garden.", "Mia is in the garden.", "小红在厨房。"]
    found = server.client().embeddings.create(model="tiny", input=texts, encoding_format="float")
    a, b, c = (np.array(row.embedding) for row in found.data)
    assert np.linalg.norm(a) == pytest.approx(1, abs=1e-5) and np.allclose(a, b) and a @ c < 0.999
    packed = server.client().embeddings.create(model="tiny", input=texts[0])  # base64 by default
    np.testing.assert_allclose(packed.data[0].embedding, a, atol=1e-6)
    assert base64.b64encode(b"") == b""


def test_a_wrong_key_is_refused(server):
    with pytest.raises(AuthenticationError, match="missing or wrong API key"):
        server.client().with_options(api_key="sk-other").models.list()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"temperature": -1}, "temperature: Input should be greater than or equal to 0"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater"),
        ({"n": 10**9}, "n: Input should be less"),
        (
            {"extra_body": {"temprature": 1}},
            "unknown field 'temprature': did you mean 'temperature'",
        ),
        ({"messages": []}, "messages: List should have at least 1 item"),
        ({"messages": [{"role": "wizard", "content": "Hi"}]}, "role: Input should be 'system'"),
        ({"messages": [{"role": "user", "content": "Hi " * 2000}]}, "this model takes 1 to 1,023"),
        ({"presence_penalty": 1.5}, "presence_penalty: Input should be 0"),
        ({"stop": [""]}, "an empty string would end every answer"),
        ({"top_logprobs": 3}, "top_logprobs is for logprobs"),
        ({"max_completion_tokens": 3, "max_tokens": 3}, "give one"),
        ({"seed": -1}, "seed: Input should be greater"),
        ({"stream_options": {"include_usage": True}}, "stream_options is for stream"),
    ],
)
def test_what_is_wrong_is_said_in_openai_s_form(server, asked, said):
    with pytest.raises(BadRequestError) as refused:
        server.client().chat.completions.create(**({"model": "tiny", "messages": ASKED} | asked))
    assert said in refused.value.message
    assert refused.value.type == "invalid_request_error"
