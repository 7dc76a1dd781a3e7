"""Verifiable rewards: a model answers questions that can be marked, and learns from its marks (GRPO).

In: exercises, each a prompt and a way to mark its answers. On the way: for each batch the model itself
answers every prompt several times; an objective of the one loop. No answer is ever shown to it. The
formulas are in `policy_loss.py`.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.errors import InputError
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.language import N_
from groundup.model.gpt import GPT
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.log_probs import token_log_probs
from groundup.train.objectives import Objective
from groundup.tune.config import ReasonConfig
from groundup.tune.policy_loss import clipped_gain, divergence, group_advantages, over_answers
from groundup.world.documents import training_questions
from groundup.world.question import Question

# So many steps without anything to learn are no chance.
WATCHED = 20


@dataclass(frozen=True)
class Exercise:
    """A prompt, as ids, and the reward of an answer's ids: 1 if it is right."""

    prompt: list[int]
    mark: Callable[[list[int]], float]


# exercises(n): those of the n-th micro-batch, a pure function of n.
Exercises = Callable[[int], list[Exercise]]
# (ids, weights) → log p of each target: the reference model.
LogProbs = Callable[[Tensor, Tensor], Tensor]


class Rollout(NamedTuple):
    """A batch: the answers to a few exercises, those to the same one together, padded at the end."""

    ids: Int[Any, "rows window"]
    weights: Float[Any, "rows time"]
    """1 at targets (`ids` after the first) that the model said, else 0."""
    rewards: Float[Any, " rows"]
    old: Float[Any, "rows time"] | None
    """log p of each target under the model that sampled; None where that is the model itself."""
    reference: Float[Any, "rows time"] | None
    """log p of each target under the reference, where it is asked for."""

    @property
    def tokens(self) -> int:
        """How many targets there are, padding not counted."""
        return int((self.weights[:, ::-1].cumsum(axis=1) > 0).sum())

    def rows(self, chosen: Any) -> "Rollout":
        """These rows only."""
        return Rollout(*(None if part is None else part[chosen] for part in self))


class Rollouts:
    """batches(n) of the loop: answers of the model as it is when they are asked for.

    With one update to a batch, they depend on n and the weights alone. With more, those that are still
    in use are what `held` holds: a checkpoint between two updates must keep it to go on exactly.
    """

    def __init__(
        self,
        model: GPT,
        exercises: Exercises,
        config: ReasonConfig,
        stop_ids: frozenset[int],
        seed: int,
        grad_accumulation: int = 1,
        reference: LogProbs | None = None,
    ):
        """Answers end with one of `stop_ids`. `reference` is needed where `config.kl` is above 0."""
        if config.kl and reference is None:
            raise ValueError("kl compares with a reference: `frozen`")
        self.model, self.exercises, self.config = model, exercises, config
        self.stop_ids, self.seed, self.grad_accumulation = stop_ids, seed, grad_accumulation
        self.reference = reference if config.kl else None
        self.held: dict[int, Rollout] = {}

    def __call__(self, n: int) -> Rollout:
        step, micro = divmod(n, self.grad_accumulation)
        first = step // self.config.updates * self.grad_accumulation
        self.held = {k: rollout for k, rollout in self.held.items() if k >= first}
        number = first + micro
        if number not in self.held:
            self.held[number] = self._sample(number)
        return self.held[number]

    @torch.no_grad()
    def _sample(self, number: int) -> Rollout:
        exercises = self.exercises(number)
        asked = [exercise for exercise in exercises for _ in range(self.config.answers)]
        was_training = self.model.training
        said = self._answers([exercise.prompt for exercise in asked], number)
        ids, weights = padded([exercise.prompt for exercise in asked], said)
        rewards = [exercise.mark(answer) for exercise, answer in zip(asked, said, strict=True)]
        device = self.model.device
        tensors = [torch.from_numpy(array).to(device) for array in (ids, weights)]
        old = token_log_probs(self.model, *tensors) if self.config.updates > 1 else None
        reference = self.reference(*tensors) if self.reference else None
        self.model.train(was_training)
        return Rollout(ids, weights, np.array(rewards, np.float32), _array(old), _array(reference))

    def _answers(self, prompts: Sequence[list[int]], number: int) -> list[list[int]]:
        """At temperature 1: the gradient is that of the model's own answers."""
        longest, context_length = max(map(len, prompts)), self.model.config.context_length
        if longest + self.config.max_new_tokens > context_length + 1:
            raise InputError(
                f"a question of {longest} tokens and an answer of up to {self.config.max_new_tokens} do"
                f" not fit into the model's context of {context_length}",
                "max_new_tokens", "ask shorter questions, or allow fewer new tokens",
            )  # fmt: skip
        sampling = SamplingConfig(temperature=1.0, max_new_tokens=self.config.max_new_tokens)
        source = np.random.SeedSequence([self.seed, number])
        seeds = source.generate_state(len(prompts), np.uint64).tolist()
        return Engine(self.model, len(prompts)).batch(prompts, sampling, self.stop_ids, seeds)


def padded(
    prompts: Sequence[list[int]], answers: Sequence[list[int]]
) -> tuple[Int[np.ndarray, "rows window"], Float[np.ndarray, "rows time"]]:
    """Each prompt with its answer, padded at the end, and 1 at targets that are the answer."""
    longest = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    ids = np.zeros((len(prompts), longest), np.int64)
    weights = np.zeros((len(prompts), longest - 1), np.float32)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        end = len(prompt) + len(answer)
        ids[row, :end] = prompt + answer
        weights[row, len(prompt) - 1 : end - 1] = 1
    return ids, weights


def _array(values: Tensor | None) -> Float[np.ndarray, "rows time"] | None:
    return None if values is None else values.cpu().numpy()


def policy(config: ReasonConfig) -> Objective:
    """The objective: minus the clipped gain of the answers, plus their divergence from the reference.
    Figures: the mean reward, the share of exact answers, that of questions whose answers were not all
    marked alike (others teach nothing), the length of an answer, the share of tokens that the clip
    holds, and the divergence."""
    length = None if config.mean_over_answer else config.max_new_tokens

    def objective(model: GPT, rollout: Rollout) -> tuple[Tensor, Mapping[str, Tensor]]:
        groups = rollout.rewards.view(-1, config.answers)
        advantages = group_advantages(groups, config.divide_by_spread).flatten()
        figures = {
            "reward": groups.mean(),
            "exact": (groups >= 1).float().mean(),
            "mixed_groups": (groups.amax(1) > groups.amin(1)).float().mean(),
            "answer_tokens": rollout.weights.sum(1).mean(),
        }
        # What teaches nothing need not be read, if only the model gets at least one row.
        taught = (advantages != 0) | (rollout.reference is not None)
        taught[0] = True
        part = rollout.rows(taught)
        new = token_log_probs(model, part.ids, part.weights)
        old = new.detach() if part.old is None else part.old
        gain, held = clipped_gain(new, old, advantages[taught], config.clip)
        figures["clipped"] = (held * part.weights).sum() / rollout.weights.sum()
        if part.reference is not None:
            apart = divergence(new, part.reference)
            gain = gain - config.kl * apart
            figures["kl"] = over_answers(apart.detach(), part.weights, len(advantages), None)
        loss = -over_answers(gain, part.weights, len(advantages), length)
        return loss + model.auxiliary_loss(), figures

    return objective


def nothing_to_learn(mixed_groups: Sequence[float]) -> str | None:
    """What to say where, over many steps, the answers to each question were all marked alike; None where
    they were not, or where it is too early to tell. `mixed_groups`: that figure of each step."""
    if len(mixed_groups) < WATCHED or max(mixed_groups[-WATCHED:]) > 0:
        return None
    return N_(
        f"in the last {WATCHED} steps all answers to each question were marked alike, so nothing is"
        " learned. Where all are wrong, ask easier questions; if they once were right, lower the learning"
        " rate or set kl. Where all are right, ask harder ones"
    )


def frozen(model: GPT) -> LogProbs:
    """The model as it is now, as the reference of a training that changes all of it."""
    copied = copy.deepcopy(model).eval().requires_grad_(False)
    return partial(token_log_probs, copied)


def world_exercises(
    config: ReasonConfig, tokenizer: Tokenizer, micro_batch: int, seed: int
) -> Exercises:
    """Questions of the sample world such as training may show, `micro_batch` at a time, of the tasks
    and languages of `config` in turn. Those of the exam (`held_out_questions`) are never among them."""
    kinds = [(language, task) for task in config.tasks for language in config.languages]

    def exercises(n: int) -> list[Exercise]:
        turns = range(n * micro_batch, (n + 1) * micro_batch)
        questions = [_world_question(*kinds[turn % len(kinds)], seed, turn) for turn in turns]
        return [to_exercise(question, tokenizer, config.format_reward) for question in questions]

    return exercises


def _world_question(language: str, task: str, seed: int, turn: int) -> Question:
    own_seed = int(np.random.SeedSequence([seed, turn]).generate_state(1, np.uint64)[0])
    return training_questions(language, task, 1, own_seed)[0]


def to_exercise(question: Question, tokenizer: Tokenizer, format_reward: float) -> Exercise:
    """A question as the chat template asks it. Its exact answer gets 1, the answer that any other of
    its candidates would be gets `format_reward`, and one that does not end gets nothing."""
    asked = [{"role": "user", "content": question.prompt}]
    ends = frozenset(tokenizer.end_ids)

    def mark(ids: list[int]) -> float:
        if not ids or ids[-1] not in ends:
            return 0.0
        said = tokenizer.decode(ids[:-1]).strip()
        if said == question.answer:
            return 1.0
        return format_reward if said in question.candidates else 0.0

    return Exercise(tokenizer.encode_chat(asked, add_generation_prompt=True), mark)
