"""The figures of chapters 7 to 12: trains small models, measures, and draws.

    python docs/figures/training.py          # some three minutes on a core of its own
    python docs/figures/training.py --draw   # only draws again what training.json holds

Everything that is measured is written to `training.json` beside this file, where the figures that the
chapters quote can be looked up.
"""

import argparse
import copy
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from training_drawn import draw

from groundup.compress.masks import apply_masks, choose, magnitudes, wanda_scores
from groundup.data.packing import Example, PackedBatches, PackedRows, fit
from groundup.data.windows import WindowStream
from groundup.evaluate.intervals import wilson
from groundup.evaluate.language import LanguageScore, bits_per_byte_of, score_each, total
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig, keep_top_k, keep_top_p
from groundup.generation.scheduler import Request
from groundup.model.config import LoraConfig
from groundup.model.gpt import GPT
from groundup.model.lora import add_lora, count_parameters
from groundup.model.presets import preset
from groundup.model.quantized import linear_layers_of_blocks, quantize_step_by_step
from groundup.tokenizer.chat import CHAT_SPECIAL_TOKENS
from groundup.tokenizer.tokenizer import END_OF_TEXT, Tokenizer
from groundup.train.config import TrainConfig
from groundup.train.loop import Batches, Run, start_run, train
from groundup.train.objectives import next_token
from groundup.train.schedules import rate
from groundup.tune.instruct import held_out_loss, instruct
from groundup.world.held_out import in_training
from groundup.world.narrate import narrate
from groundup.world.story import make_story
from groundup.world.talk import small_talk
from groundup.world.tasks import TASK_MAKERS

HERE = Path(__file__).parent
CONTEXT, BATCH = 64, 16


def stories(seed: int, count: int) -> list[str]:
    rng = Random(seed)
    made = (make_story(rng, rng.randint(3, 8), in_training) for _ in range(count))
    return [narrate(story, "en", rng) for story in made]


class Text(WindowStream):
    """Windows of some stories, one after another; window n is a function of n."""

    def __init__(self, tokenizer: Tokenizer, documents: Sequence[str]):
        end = tokenizer.special_tokens[END_OF_TEXT]
        encoded = [[*tokenizer.encode(document), end] for document in documents]
        self.ids = np.array([id_ for document in encoded for id_ in document])
        size = sum(len(document.encode()) for document in documents)
        self.bytes_per_token = size / len(self.ids)

    def __getitem__(self, n: int) -> np.ndarray:
        start = np.random.default_rng(n).integers(len(self.ids) - CONTEXT)
        return self.ids[start : start + CONTEXT + 1]

    def batches(self, n: int) -> np.ndarray:
        return self.batch(n, BATCH)

    def side_by_side(self, count: int) -> list[np.ndarray]:
        return [self.ids[i * CONTEXT :][: CONTEXT + 1] for i in range(count)]


def new_model(tokenizer: Tokenizer) -> GPT:
    torch.manual_seed(0)
    shape = {"n_layers": 4, "d_model": 64, "n_heads": 4, "context_length": CONTEXT}
    return GPT(preset("gpt-2-small", vocab_size=tokenizer.vocab_size, **shape))


def trained(
    model: GPT, batches: Batches, objective: Any = next_token, **settings: Any
) -> list[float]:
    """Train, and say the loss of every step. `hook` is called after each one."""
    losses: list[float] = []
    hooks = [lambda run: losses.append(run.loss), *settings.pop("hooks", [])]
    given = {"optimizer": "adamw", "schedule": "cosine", "final_rate": 0.1, "warmup": 0.1}
    config = TrainConfig.model_validate({**given, **settings})
    train(start_run(model, config), batches, objective, hooks)
    return losses


# What is measured


def pretraining(tokenizer: Tokenizer, text: Text) -> dict[str, Any]:
    """Losses of four trainings that differ in the rate alone, and the schedules."""
    curves = {
        name: trained(new_model(tokenizer), text.batches, steps=150, learning_rate=peak, warmup=warmup)
        for name, peak, warmup in [
            ("good", 0.01, 0.1), ("no warm-up", 0.01, 0.0), ("too large", 0.1, 0.1),
            ("too small", 0.0001, 0.1),
        ]
    }  # fmt: skip
    progress = np.linspace(0.001, 1, 200)
    settings: dict[str, dict[str, Any]] = {
        "cosine": {"schedule": "cosine", "warmup": 0.1, "final_rate": 0.1},
        "wsd": {"schedule": "wsd", "warmup": 0.1, "decay": 0.3},
        "inverse-sqrt": {"schedule": "inverse-sqrt", "warmup": 0.1},
    }
    rates = {
        name: [rate(at, TrainConfig(**given)) for at in progress]
        for name, given in settings.items()
    }
    return {"curves": curves, "progress": progress.tolist(), "rates": rates}


@torch.inference_mode()
def generation(model: GPT, tokenizer: Tokenizer) -> dict[str, Any]:
    """The eight likeliest next tokens of a prompt, and what is left of them by each way to choose."""
    prompt = "Mary goes to the garden. Mary"
    logits = model.eval()(torch.tensor([tokenizer.encode(prompt)]))[:, -1]
    best = logits[0].topk(8).indices.tolist()
    ways: dict[str, torch.Tensor] = {
        "temperature 1": logits, "temperature 0.5": logits / 0.5, "temperature 2": logits / 2,
        "top-k 3": keep_top_k(logits, 3), "top-p 0.9": keep_top_p(logits, 0.9),
    }  # fmt: skip
    shares = {name: way.softmax(-1)[0] for name, way in ways.items()}
    return {
        "prompt": prompt,
        "tokens": [tokenizer.decode([token]) for token in best],
        "shares": {name: share[best].tolist() for name, share in shares.items()},
        "possible": {name: int((share > 0).sum()) for name, share in shares.items()},
        "others": {name: 1 - share[best].sum().item() for name, share in shares.items()},
    }


def tuning(base: GPT, tokenizer: Tokenizer, text: Text, unseen: Text) -> dict[str, Any]:
    """Answers learned and stories forgotten, by three ways to tune one model for as many steps."""
    rows, _ = fit([example(tokenizer, turns) for turns in conversations(600)], CONTEXT)
    asked = PackedRows(rows[100:], CONTEXT)
    held_out = PackedRows(rows[:100], CONTEXT)
    plain = PackedBatches(asked, BATCH)
    ways: dict[str, tuple[PackedBatches, float, bool]] = {
        "full": (plain, 1e-3, False),
        "replay": (PackedBatches(asked, BATCH, text, 0.25), 1e-3, False),
        "lora": (plain, 1e-2, True),
    }
    found: dict[str, Any] = {}
    for name, (batches, peak, is_lora) in ways.items():
        model = copy.deepcopy(base).train()
        if is_lora:
            add_lora(model, LoraConfig(rank=8))
        curve: list[tuple[int, float, float]] = []

        def look(run: Run, curve: list = curve) -> None:
            if run.state.step % 10 == 0:
                bits = language(run.model, unseen).bits_per_byte
                curve.append((run.state.step, held_out_loss(run.model, held_out, 8), bits))

        look(Run(model, TrainConfig(), []))
        trained(model, batches, instruct, steps=100, learning_rate=peak, hooks=[look])
        found[name] = {"curve": curve, "trainable": count_parameters(model).trainable}
    return found


def conversations(count: int) -> Iterator[list[dict[str, str]]]:
    rng = Random(5)
    for _ in range(count):
        if rng.random() < 0.3:
            said, answer = small_talk(rng, "en")
        else:
            question = TASK_MAKERS[rng.choice(["opposite", "order"])](rng, "en", in_training)
            said, answer = question.prompt, question.answer
        yield [{"role": "user", "content": said}, {"role": "assistant", "content": answer}]


def example(tokenizer: Tokenizer, messages: list[dict[str, str]]) -> Example:
    ids, spoken = tokenizer.encode_turns(messages)
    return Example(np.array(ids, np.int32), np.array(spoken))


def language(model: GPT, text: Text, windows: int = 100) -> LanguageScore:
    with torch.no_grad():
        return total(score_each(model, text.side_by_side(windows), text.bytes_per_token))


@torch.inference_mode()
def evaluation(base: GPT, tokenizer: Tokenizer, unseen: Text) -> dict[str, Any]:
    """How often is a model right that says it is so sure? Of the base, and of one that knows few
    stories by heart. And the interval of a share, by how many questions there are."""
    few = Text(tokenizer, stories(7, 40))
    with torch.inference_mode(False):
        overfit = new_model(tokenizer)
        losses = trained(overfit, few.batches, steps=300, learning_rate=0.01)
    bins = np.linspace(0, 1, 11)
    found: dict[str, Any] = {"overfit_train_loss": float(np.mean(losses[-10:]))}
    for name, model in {"base": base, "overfit": overfit}.items():
        windows = torch.tensor(np.stack(unseen.side_by_side(400)))
        sure, said = model.eval()(windows[:, :-1]).softmax(-1).max(-1)
        right = (said == windows[:, 1:]).flatten().numpy()
        sure = sure.flatten().numpy()
        points = []
        for low, high in zip(bins[:-1], bins[1:], strict=True):
            chosen = (sure > low) & (sure <= high)
            if chosen.sum() >= 50:
                of = wilson(int(right[chosen].sum()), int(chosen.sum()))
                points.append([float(sure[chosen].mean()), float(right[chosen].mean()), *of])
        parts = list(score_each(model, unseen.side_by_side(400), unseen.bytes_per_token))
        figures = np.array([[part.nats, part.tokens, part.text_bytes] for part in parts])
        found[name] = {
            "calibration": points, "sure": float(sure.mean()), "right": float(right.mean()),
            "bits_per_byte": float(bits_per_byte_of(figures.mean(0))),
        }  # fmt: skip
        if (
            name == "base"
        ):  # one place of each window: questions that have nothing to do with each other
            asked = right.reshape(400, CONTEXT)[:, -1]
            counts = [10, 20, 50, 100, 200, 400]
            found["accuracy"] = [
                [n, float(asked[:n].mean()), *wilson(int(asked[:n].sum()), n)] for n in counts
            ]
    return found


@torch.no_grad()
def compression(base: GPT, text: Text, unseen: Text) -> dict[str, Any]:
    """What rounding changes in the matrices, by bits and size of a group, and in the bits per byte; and
    what it costs to take weights away, chosen by size or with what they are multiplied by."""
    found: dict[str, Any] = {"exact": language(base, unseen, 400).bits_per_byte}
    for bits in (8, 4):
        points = []
        for group in (8, 16, 32, 64):
            model = copy.deepcopy(base).eval()
            wrong = all_of_it = 0.0
            for layer in linear_layers_of_blocks(model).values():
                rounded = quantize_step_by_step(layer.weight, bits, group)
                wrong += (rounded - layer.weight).square().sum().item()
                all_of_it += layer.weight.square().sum().item()
                layer.weight.copy_(rounded)
            score = language(model, unseen, 400).bits_per_byte
            points.append([group, math.sqrt(wrong / all_of_it), score])
        found[str(bits)] = points
    windows = [torch.tensor(window[None, :-1]) for window in text.side_by_side(64)]
    scored = {"magnitude": magnitudes(base), "wanda": wanda_scores(base, windows)}
    for name, scores in scored.items():
        points = []
        for share in (0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7):
            model = copy.deepcopy(base).eval()
            apply_masks(model, choose(scores, share, "row"))
            points.append([share, language(model, unseen, 200).bits_per_byte])
        found[name] = points
    return found


def serving() -> dict[str, Any]:
    """Tokens a second of one processor, of all texts together, by how many run at once: the median of
    three rounds. Of processor time, so that other work on the machine changes little."""
    torch.manual_seed(0)
    # The numbers in it decide nothing about its speed, so they are not trained.
    model = GPT(preset("mini", vocab_size=4096, context_length=256))
    sizes, new = [1, 2, 4, 8, 16, 32], 12
    rounds: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(3):
        for size in sizes:
            engine = Engine(model, max_batch=size, cache_tokens=256 * size)
            sampling = SamplingConfig(max_new_tokens=new + 1, temperature=0)
            for number in range(size):
                engine.submit(Request([number + 1] * 16, sampling))
            while len(engine.step()) < size:  # reads the prompts
                pass
            began, made = time.process_time(), 0
            while engine.has_work:
                made += len(engine.step())
            rounds[size].append(made / (time.process_time() - began))
    medians = {size: float(np.median(found)) for size, found in rounds.items()}
    parameters = sum(p.numel() for p in model.parameters())
    return {
        "parameters": parameters,
        "speed": [[size, speed, 1000 * size / speed] for size, speed in medians.items()],
    }


def measure() -> dict[str, Any]:
    documents = stories(0, 4000)
    special = [END_OF_TEXT, *CHAT_SPECIAL_TOKENS]
    said = [turn["content"] for turns in conversations(600) for turn in turns]
    tokenizer = Tokenizer.train_from_iterator(documents + said, 512, special, processes=1)
    text, unseen = Text(tokenizer, documents), Text(tokenizer, stories(1, 1000))
    base = new_model(tokenizer)
    losses = trained(base, text.batches, steps=300, learning_rate=0.01)
    made: dict[str, Callable[[], dict[str, Any]]] = {
        "pretraining": lambda: pretraining(tokenizer, text),
        "generation": lambda: generation(base, tokenizer),
        "tuning": lambda: tuning(base, tokenizer, text, unseen),
        "evaluation": lambda: evaluation(base, tokenizer, unseen),
        "compression": lambda: compression(base, text, unseen),
        "serving": serving,
    }
    found: dict[str, Any] = {
        "model": {
            "parameters": sum(p.numel() for p in base.parameters()),
            "vocab_size": tokenizer.vocab_size,
            "tokens": len(text.ids),
            "bytes_per_token": text.bytes_per_token,
            "losses": losses,
        }
    }
    for name, function in made.items():
        began = time.perf_counter()
        found[name] = function()
        print(f"{name}: {time.perf_counter() - began:.0f} s")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draw", action="store_true", help="draw again what was measured before")
    parser.add_argument("--png", type=Path, help="a folder for the same as PNG, to look at")
    arguments = parser.parse_args()
    numbers = HERE / "training.json"
    if not arguments.draw:
        torch.set_num_threads(1)
        found = json.loads(json.dumps(measure()), parse_float=lambda x: round(float(x), 5))
        numbers.write_text(json.dumps(found, ensure_ascii=False) + "\n", encoding="utf-8")
    draw(json.loads(numbers.read_text(encoding="utf-8")), HERE, arguments.png)


if __name__ == "__main__":
    main()
