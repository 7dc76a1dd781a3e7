"""Answers of a given form, and calls of functions, as OpenAI's own client asks for them."""

import json

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import BadRequestError
from pydantic import BaseModel

from groundup.generation.schema import Grammars
from groundup.serve.openai import ChatMessage, Function, Tool
from groundup.serve.tools import CallReader, encode
from groundup.tokenizer.tokenizer import Tokenizer

ASKED = [{"role": "user", "content": "Where is Tom?"}]


class Place(BaseModel):
    name: str
    floor: int
    rooms: list[bool]


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"enum": ["Rom", "北京"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 14},
            },
            "required": ["place", "days"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock"}}


def ask(server, **more):
    settings = {"model": "tiny", "messages": ASKED, "max_tokens": 400, "seed": 1} | more
    return server.client().chat.completions.create(**settings)


def schema(content: dict) -> dict:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": content}}


@pytest.mark.parametrize("temperature", [0, 1, 2])
def test_json_of_a_schema_is_what_comes_even_from_a_random_model(server, temperature):
    content = Place.model_json_schema() | {"additionalProperties": False}
    content["properties"] = {
        "name": {"type": "string", "maxLength": 5},
        "floor": {"enum": [1, 2]},
        "rooms": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
    }
    answer = ask(server, response_format=schema(content), temperature=temperature, n=2)
    for choice in answer.choices:
        assert choice.finish_reason == "stop"
        place = Place.model_validate_json(choice.message.content)
        assert len(place.name) <= 5 and place.floor in (1, 2)


def test_the_client_s_own_parsing_works(server):
    class Colour(BaseModel):
        name: bool
        red: None

    answer = server.client().chat.completions.parse(
        model="tiny", messages=ASKED, response_format=Colour, max_tokens=40
    )
    assert isinstance(answer.choices[0].message.parsed, Colour)


def test_any_json_object_is_an_object(server):
    answer = ask(server, response_format={"type": "json_object"}, seed=3, max_tokens=300)
    said = answer.choices[0].message.content
    assert said.startswith("{")
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(said), dict)


def test_an_answer_that_is_cut_says_so(server):
    long = schema(
        {
            "type": "object",
            "properties": {"a": {"type": "string", "minLength": 9}},
            "required": ["a"],
        }
    )
    answer = ask(server, response_format=long, max_tokens=5)
    assert answer.choices[0].message.content.startswith("{")
    assert answer.choices[0].finish_reason == "length"


def test_a_call_that_is_required_comes_and_follows_the_schema(server):
    chosen = {"type": "function", "function": {"name": "weather"}}
    answer = ask(server, tools=[CLOCK, WEATHER], tool_choice=chosen, temperature=0)
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    (call,) = choice.message.tool_calls
    assert call.function.name == "weather" and call.id.startswith("call-")
    arguments = json.loads(call.function.arguments)
    assert arguments["place"] in ("Rom", "北京") and isinstance(arguments["days"], int)
    messages = [*ASKED, choice.message.model_dump(exclude_none=True),
                {"role": "tool", "tool_call_id": call.id, "content": "rain"}]  # fmt: skip
    assert ask(server, messages=messages, tools=[WEATHER], max_tokens=5).choices[0].finish_reason


def test_a_stream_of_a_call_is_what_the_client_puts_together(server):
    more = {"tools": [WEATHER], "tool_choice": "required", "temperature": 0}
    whole = ask(server, **more).choices[0].message.tool_calls[0]
    chunks = list(ask(server, **more, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert not any(delta.content for delta in deltas)
    (called,) = [call for delta in deltas for call in delta.tool_calls or ()]
    assert called.index == 0 and called.function.model_dump() == whole.function.model_dump()
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"response_format": schema({"type": "objekt"})}, "cannot be followed: Invalid type: objekt"),
        ({"response_format": schema({"not": {}})}, "cannot be followed"),
        ({"response_format": schema({"$ref": "http://127.0.0.1:1/x"})}, "cannot be followed"),
        ({"response_format": {"type": "json_schema"}}, "json_schema belongs to"),
        ({"tool_choice": "required"}, "tool_choice is for tools"),
        ({"tools": [CLOCK, CLOCK]}, "two functions have the same name"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "String should match"),
        (
            {"tools": [CLOCK], "tool_choice": {"type": "function", "function": {"name": "clok"}}},
            "there is no function 'clok'",
        ),
        ({"messages": [{"role": "tool", "content": "1"}]}, "tool_call_id belongs to"),
        ({"messages": [{"role": "user"}]}, "content is missing"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "a", "arguments": "{"}}]}]},
            "arguments of a tool call are not valid JSON",
        ),
    ],
)  # fmt: skip
def test_forms_that_cannot_be_are_refused(server, asked, said):
    with pytest.raises(BadRequestError) as refused:
        ask(server, **asked)
    assert said in refused.value.message


CALL = '<tool_call>\n{"name": "clock", "arguments": {"zone": "<b>"}}\n</tool_call>'


@settings(max_examples=200, deadline=None)
@given(
    parts=st.lists(
        st.sampled_from([CALL, "text", "<tool", "<tool_call>nonsense</tool_call>", "\n"])
    ),
    cuts=st.lists(st.integers(1, 9)),
)
def test_calls_are_told_from_text_however_it_is_cut(parts: list[str], cuts: list[int]):
    written, reader = "".join(parts), CallReader()
    said, calls, at = "", [], 0
    for size in [*cuts, len(written)]:
        text, found = reader.feed(written[at : at + size], is_last=False)
        said, calls, at = said + text, calls + found, at + size
    text, found = reader.feed("", is_last=True)
    said, calls = said + text, calls + found
    assert [call["index"] for call in calls] == list(range(parts.count(CALL)))
    assert all(json.loads(call["function"]["arguments"]) == {"zone": "<b>"} for call in calls)
    plain = "".join(part for part in parts if part != CALL)
    assert said.replace("\n", "") == plain.replace("\n", "")


@given(
    texts=st.lists(st.sampled_from(["text", "\n"]), min_size=3, max_size=3), size=st.integers(1, 90)
)
def test_where_calls_are_not_parallel_the_first_is_told(texts: list[str], size: int):
    written, reader = CALL.join(texts) + CALL.replace("clock", "other"), CallReader(only_first=True)
    fed = [reader.feed(written[at : at + size]) for at in range(0, len(written), size)]
    fed.append(reader.feed("", is_last=True))
    (call,) = [call for _, calls in fed for call in calls]
    assert call["function"]["name"] == "clock" and reader.count == 1
    said = "".join(said for said, _ in fed)
    assert said.replace("\n", "") == "".join(texts).replace("\n", "")


def test_each_of_several_answers_has_a_form_of_its_own(server):
    content = {"type": "object", "properties": {"n": {"enum": [1, 2, 3]}}, "required": ["n"],
               "additionalProperties": False}  # fmt: skip
    answer = ask(server, response_format=schema(content), n=4, temperature=2)
    assert all(json.loads(c.message.content)["n"] in (1, 2, 3) for c in answer.choices)
    tools = {"tools": [WEATHER], "tool_choice": "required", "parallel_tool_calls": False}
    answer = ask(server, **tools, n=2)
    assert [len(c.message.tool_calls) for c in answer.choices] == [1, 1]


def test_a_template_without_a_place_for_functions_is_told_in_words(directory):
    tokenizer = Tokenizer.load(directory)
    tool = Tool(type="function", function=Function(name="clock", description="The time"))
    messages = [ChatMessage(role="user", content="When?")]
    ids = encode(tokenizer, messages, [tool])
    text = tokenizer.decode(ids)
    assert '{"name": "clock", "description": "The time"}' in text and "<tool_call>" in text
    assert encode(tokenizer, messages, []) == tokenizer.encode_chat(
        [message.plain() for message in messages], add_generation_prompt=True
    )


def test_no_special_token_stands_in_a_json_text(directory):
    tokenizer = Tokenizer.load(directory)
    form = Grammars(tokenizer, tokenizer.vocab_size).json_schema({"type": "string"})
    form.accept(tokenizer.encode('"')[0])
    allowed = form.allowed
    assert not any(allowed[id] for id in tokenizer.special_tokens.values())
    assert allowed[tokenizer.encode("a")[0]]


def test_a_tool_of_nested_models_can_be_required(server):
    class Guest(BaseModel):
        tall: bool

    class Table(BaseModel):
        guests: tuple[Guest, Guest]

    tool = openai.pydantic_function_tool(Table)
    answer = ask(server, tools=[tool, CLOCK, WEATHER], tool_choice="required", temperature=1)
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name in ("Table", "clock", "weather")
    chosen = {"type": "function", "function": {"name": "Table"}}
    answer = ask(server, tools=[tool], tool_choice=chosen, temperature=1)
    (call,) = answer.choices[0].message.tool_calls
    assert len(Table.model_validate_json(call.function.arguments).guests) == 2
