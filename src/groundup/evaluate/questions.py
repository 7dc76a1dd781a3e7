"""Questions with one exact answer: the share that a model answers to the letter, against chance."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.generation.text import Completion, complete
from groundup.model.gpt import GPT
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.world.question import Question


@torch.inference_mode()
def answered_exactly(
    model: GPT, tokenizer: Tokenizer, questions: Sequence[Question], batch: int = 64
) -> list[bool]:
    """For each question, whether the greedy answer is the exact one, end token included.

    Greedy generation says an answer exactly if each of its tokens is the likeliest after the ones
    before, so one pass over prompt and answer together decides it, without generating.
    """
    was_training = model.training
    model.eval()
    correct = [
        right
        for start in range(0, len(questions), batch)
        for right in _batch_exact(model, tokenizer, questions[start : start + batch])
    ]
    model.train(was_training)
    return correct


def _batch_exact(model: GPT, tokenizer: Tokenizer, questions: Sequence[Question]) -> Iterator[bool]:
    rows = [_prompt_and_answer(tokenizer, question) for question in questions]
    # Padding stands behind the answer, where causal attention cannot see it.
    longest = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids = torch.tensor([p + a + [0] * (longest - len(p) - len(a)) for p, a in rows])
    ids = ids.to(model.embedding.weight.device)
    likeliest = model(ids[:, :-1]).argmax(-1)
    for row, (prompt, answer) in enumerate(rows):
        asked = slice(len(prompt) - 1, len(prompt) + len(answer) - 1)
        yield likeliest[row, asked].tolist() == answer


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
