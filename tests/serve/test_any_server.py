"""What any server of OpenAI's protocol has to answer, so that a model can move from one to the other.

By itself this asks `groundup serve`. To ask another that serves a directory of ours, such as vLLM
(docs/en/serving.md), name it and the directory:

    GROUNDUP_TEST_URL=http://127.0.0.1:8000/v1 GROUNDUP_TEST_KEY=… GROUNDUP_TEST_MODEL=runs/my/pretrain/model \
        pytest tests/serve/test_any_server.py
"""

import json
import os
from pathlib import Path

import pytest
import torch
from openai import NotFoundError, OpenAI
from tests.serve.conftest import KEY

from groundup.weights.directory import load

ASKED = [{"role": "user", "content": "Where is Tom?"}]
NEAR = 0.05
"""How far log-probabilities may be from ours: a server may compute in half precision."""
URL = os.environ.get("GROUNDUP_TEST_URL")


@pytest.fixture(scope="module")
def client(request) -> OpenAI:
    if URL:
        return OpenAI(base_url=URL, api_key=os.environ.get("GROUNDUP_TEST_KEY", KEY), max_retries=0)
    return request.getfixturevalue("server").client()


@pytest.fixture(scope="module")
def name(client) -> str:
    """The served model's name."""
    return client.models.list().data[0].id


@pytest.fixture(scope="module")
def loaded(request):
    """The model that is served, as the library loads it."""
    if not URL:
        return load(request.getfixturevalue("directory"))
    if "GROUNDUP_TEST_MODEL" not in os.environ:
        pytest.skip("GROUNDUP_TEST_MODEL names no directory to compare with")
    return load(Path(os.environ["GROUNDUP_TEST_MODEL"]))


def test_a_model_that_is_not_there_is_not_found(client):
    with pytest.raises(NotFoundError):
        client.chat.completions.create(model="no-such-model", messages=ASKED, max_tokens=1)


def test_a_conversation_is_as_many_tokens_as_in_the_library(client, name, loaded):
    """The chat template and the tokenizer are the same ones."""
    tokenizer = loaded[1]
    for turns in (ASKED, [{"role": "system", "content": "Be kind."}, *ASKED]):
        answer = client.chat.completions.create(model=name, messages=turns, max_tokens=1)
        assert answer.usage.prompt_tokens == len(
            tokenizer.encode_chat(turns, add_generation_prompt=True)
        )


@torch.no_grad()
def test_the_first_token_is_as_likely_as_in_the_library(client, name, loaded):
    """The weights are read as they are meant."""
    model, tokenizer = loaded
    answer = client.chat.completions.create(
        model=name, messages=ASKED, max_tokens=1, temperature=0, logprobs=True, top_logprobs=5
    )
    ids = tokenizer.encode_chat(ASKED, add_generation_prompt=True)
    log_probs = model(torch.tensor([ids]))[0, -1].log_softmax(-1)
    (first,) = answer.choices[0].logprobs.content
    assert first.logprob == pytest.approx(log_probs.max().item(), abs=NEAR)
    best = [entry.logprob for entry in first.top_logprobs]
    assert best == pytest.approx(log_probs.topk(5).values.tolist(), abs=NEAR)


def test_an_answer_is_no_longer_than_asked_and_says_why_it_ends(client, name):
    answer = client.chat.completions.create(model=name, messages=ASKED, max_tokens=8, temperature=0)
    (choice,) = answer.choices
    assert choice.message.role == "assistant" and choice.finish_reason in ("stop", "length")
    assert 1 <= answer.usage.completion_tokens <= 8
    assert choice.finish_reason == "stop" or answer.usage.completion_tokens == 8


def test_a_stream_says_what_the_whole_answer_says(client, name):
    ask = {"model": name, "messages": ASKED, "max_tokens": 12, "temperature": 0}
    whole = client.chat.completions.create(**ask)
    chunks = list(
        client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True})
    )
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == whole.choices[0].message.content
    reasons = [c.choices[0].finish_reason for c in chunks if c.choices]
    assert [reason for reason in reasons if reason] == [whole.choices[0].finish_reason]
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_several_texts_go_on_in_their_order(client, name):
    ask = {"model": name, "max_tokens": 6, "temperature": 0}
    prompts = ["Mia is in the", "Where is"]
    together = client.completions.create(prompt=prompts, **ask)
    apart = [client.completions.create(prompt=prompt, **ask) for prompt in prompts]
    assert [choice.index for choice in together.choices] == [0, 1]
    assert [choice.text for choice in together.choices] == [one.choices[0].text for one in apart]


def test_the_same_seed_says_the_same_and_several_answers_differ(client, name):
    ask = {"model": name, "prompt": "Mia is", "max_tokens": 12, "temperature": 1.5, "seed": 5}
    first, again = (client.completions.create(**ask).choices[0].text for _ in range(2))
    assert first == again
    several = client.completions.create(**ask, n=3)
    assert len({choice.text for choice in several.choices}) > 1


def test_an_answer_ends_before_a_stop_string(client, name):
    ask = {"model": name, "prompt": "Mia is", "max_tokens": 20, "temperature": 0}
    whole = client.completions.create(**ask).choices[0].text
    stop = whole[4:6]
    (choice,) = client.completions.create(**ask, stop=[stop]).choices
    assert choice.text == whole[: whole.index(stop)] and choice.finish_reason == "stop"


def test_an_answer_has_the_form_of_a_schema(client, name):
    schema = {
        "type": "object", "properties": {"where": {"enum": ["garden", "kitchen"]}},
        "required": ["where"], "additionalProperties": False,
    }  # fmt: skip
    answer = client.chat.completions.create(
        model=name, messages=ASKED, max_tokens=60, temperature=0,
        response_format={"type": "json_schema", "json_schema": {"name": "place", "schema": schema}},
    )  # fmt: skip
    assert json.loads(answer.choices[0].message.content)["where"] in ("garden", "kitchen")
