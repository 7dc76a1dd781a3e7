"""Models answer questions, greedily; what they said is kept."""

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from groundup.evaluate.cases import Case
from groundup.evaluate.kept import Kept
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.generation.text import Completion, complete_all
from groundup.language import N_
from groundup.model.gpt import GPT
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.directory import find, load, weights_checksum

BATCH = 16


class Answer(NamedTuple):
    """What a model said, and whether it was cut off at the longest answer allowed."""

    text: str
    is_cut: bool


def let_answer(
    cases: Sequence[Case],
    name: str,
    max_new_tokens: int,
    kept: Kept,
    tell: Callable[[str], None] = lambda text: None,
) -> None:
    """Give to `cases` the answers of a model, which is loaded for it; `tell` hears of questions that are
    too long for it, which it gives no answer to, and of answers that were cut off."""
    model, tokenizer = load(name)
    identity = f"{weights_checksum(find(name))} {tokenizer.fingerprint}"
    answers = answer_with(model, tokenizer, cases, max_new_tokens, kept, identity)
    for case, answer in zip(cases, answers, strict=True):
        if answer:
            case.answers[name] = answer.text
    if long := answers.count(None):
        context = model.config.context_length
        tell(N_(f"{long:,} questions are too long for {name}, which looks at {context:,} tokens"))
    if cut := sum(answer.is_cut for answer in answers if answer):
        tell(N_(f"{cut:,} answers of {name} were cut off after {max_new_tokens:,} tokens"))


def answer_with(
    model: GPT,
    tokenizer: Tokenizer,
    cases: Sequence[Case],
    max_new_tokens: int,
    kept: Kept,
    identity: str,
) -> list[Answer | None]:
    """The greedy answers of a model, None where the question is too long for it. Those that are `kept`
    under the model's `identity` (a checksum of its weights) are not made again."""
    engine = Engine(model, max_batch=BATCH)
    prompts = [prompt_ids(tokenizer, case) for case in cases]
    fitting = [i for i, prompt in enumerate(prompts) if len(prompt) < engine.context_length]
    asked = {i: [identity, prompts[i], max_new_tokens] for i in fitting}
    missing = [i for i in fitting if kept.get(asked[i]) is None]
    missing.sort(key=lambda i: len(prompts[i]))  # those of one batch are about as long
    for start in range(0, len(missing), BATCH):
        at_once = missing[start : start + BATCH]
        made = _answers(engine, tokenizer, [prompts[i] for i in at_once], max_new_tokens)
        for i, answer in zip(at_once, made, strict=True):
            written = json.dumps(answer, ensure_ascii=False)
            kept.add(asked[i], written, f"answer to: {cases[i].question[:80]}")
    written = {i: kept.get(asked[i]) or "" for i in fitting}
    return [Answer(*json.loads(written[i])) if i in written else None for i in range(len(prompts))]


def _answers(
    engine: Engine, tokenizer: Tokenizer, prompts: Sequence[list[int]], max_new_tokens: int
) -> list[Answer]:
    completions = [Completion(prompt) for prompt in prompts]
    greedy = SamplingConfig(temperature=0, max_new_tokens=max_new_tokens)
    complete_all(engine, tokenizer, completions, greedy)
    return [Answer(said.text.strip(), said.finish_reason == "length") for said in completions]


def prompt_ids(tokenizer: Tokenizer, case: Case) -> list[int]:
    """A question as the model knows questions: in turns, or else as plain text."""
    if tokenizer.knows_turns:
        return tokenizer.encode_chat(case.turns, add_generation_prompt=True)
    return tokenizer.encode_prompt(case.question + "\n")
