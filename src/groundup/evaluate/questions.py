"""Questions with one exact answer: the share that a model answers to the letter, against chance."""

from collections.abc import Sequence
from dataclasses import dataclass

from groundup.evaluate.likelihood import Window, score_windows
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.generation.text import Completion, complete
from groundup.model.gpt import GPT
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.world.question import Question


def answered_exactly(
    model: GPT, tokenizer: Tokenizer, questions: Sequence[Question], batch: int = 64
) -> list[bool]:
    """For each question, whether the greedy answer is the exact one, end token included.

    Greedy generation says an answer exactly if each of its tokens is the likeliest after the ones
    before, so one pass over prompt and answer together decides it, without generating.
    """
    rows = [_prompt_and_answer(tokenizer, question) for question in questions]
    windows = [Window((*prompt, *answer), len(answer)) for prompt, answer in rows]
    return [
        likelihood.is_greedy
        for start in range(0, len(windows), batch)
        for likelihood in score_windows(model, windows[start : start + batch])
    ]


@dataclass(frozen=True)
class Reply:
    """What a model said to a question."""

    question: Question
    said: str

    @property
    def is_right(self) -> bool:
        return self.said == self.question.answer


def ask(model: GPT, tokenizer: Tokenizer, question: Question) -> Reply:
    """Let the model answer, greedily: a model that `answered_exactly` replies rightly."""
    prompt, answer = _prompt_and_answer(tokenizer, question)
    completion = Completion(prompt)
    sampling = SamplingConfig(temperature=0, max_new_tokens=2 * len(answer) + 16)
    said = "".join(complete(Engine(model), tokenizer, completion, sampling))
    return Reply(question, said.strip())


def _prompt_and_answer(tokenizer: Tokenizer, question: Question) -> tuple[list[int], list[int]]:
    asked = [{"role": "user", "content": question.prompt}]
    prompt = tokenizer.encode_chat(asked, add_generation_prompt=True)
    whole = tokenizer.encode_chat([*asked, {"role": "assistant", "content": question.answer}])
    return prompt, whole[len(prompt) :]
