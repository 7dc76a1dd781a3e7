"""A local model answers the three questions as token-by-token sums do, and as lm-evaluation-harness's
own class over transformers does."""

from pathlib import Path

import pytest
import torch

import groundup
from groundup.evaluate.subject import LocalModel
from groundup.generation.sampling import SamplingConfig
from groundup.model.gpt import GPT
from groundup.tokenizer.tokenizer import Tokenizer

PAIRS = [
    ("Mia is in the", " garden."),
    ("Mia is in the ", "kitchen and takes a red ball"),
    ("小明在", "花园。"),
    ("Where is Tom?\n", "Tom"),
    ("", "Tom goes to the kitchen"),
    ("Tom goes to the kitchen and takes " * 12, "a red ball."),
    ("Where is Tom? A, B, C or D? The answer is", " A"),
    ("Where is Tom? A, B, C or D? The answer is", " B"),
]
TEXTS = ["Mia is in the garden.", "小红去了厨房，拿着红色的球。小红在哪里？" * 9, "Tom goes. " * 30]


@torch.inference_mode()
def nats_of(model: GPT, ids: list[int], scored: int) -> float:
    """Sum of −log p of the last `scored` ids, each from its own pass."""
    total = 0.0
    for at in range(len(ids) - scored, len(ids)):
        logits = model(torch.tensor([ids[:at]]))[0, -1]
        total -= logits.double().log_softmax(-1)[ids[at]].item()
    return total


def test_a_continuation_is_encoded_with_its_context_and_scored_after_it(model, tokenizer):
    for (context, continuation), likelihood in zip(
        PAIRS, LocalModel(model, tokenizer, batch=3).log_likelihoods(PAIRS), strict=True
    ):
        before = tokenizer.encode(context.rstrip())
        # The tokens of "小明在花园。" reach over the cut: there the continuation has its own.
        after = tokenizer.encode(context + continuation)[len(before) :]
        after = after or tokenizer.encode(continuation)
        whole = (before or [tokenizer.end_of_text_id]) + after
        kept = whole[-(model.config.context_length + 1) :]
        assert likelihood.tokens == len(after)
        assert likelihood.nats == pytest.approx(nats_of(model, kept, len(after)), abs=1e-4)
        assert likelihood.cut == len(whole) - len(kept)
    assert len(tokenizer.encode("小明在花园。")) <= len(tokenizer.encode("小明在"))


def test_a_text_is_scored_whole_after_the_token_that_ends_texts(model, tokenizer):
    rolled = LocalModel(model, tokenizer).rolling_log_likelihoods(TEXTS, 16)
    for text, parts in zip(TEXTS, rolled, strict=True):
        ids = [tokenizer.end_of_text_id, *tokenizer.encode(text)]
        assert sum(part.tokens for part in parts) == len(ids) - 1
        at, expected = 1, 0.0
        for part in parts:
            at += part.tokens
            expected += nats_of(model, ids[max(0, at - 65) : at], part.tokens)
        assert sum(part.nats for part in parts) == pytest.approx(expected, abs=1e-3)


def test_each_window_begins_with_the_token_that_begins_texts(model, beginning):
    (parts,) = LocalModel(model, beginning).rolling_log_likelihoods([TEXTS[2]], 16)
    ids, begin, at, expected = beginning.encode(TEXTS[2]), beginning.begin_ids, 0, 0.0
    for part in parts:
        at += part.tokens
        expected += nats_of(model, begin + ids[max(0, at - 64) : at], part.tokens)
    assert at == len(ids) and len(parts) > 2
    assert sum(part.nats for part in parts) == pytest.approx(expected, abs=1e-3)


def test_generation_is_the_engine_s_and_long_prompts_keep_their_ends(model, tokenizer):
    subject = LocalModel(model, tokenizer)
    greedy = SamplingConfig(temperature=0, max_new_tokens=8)
    prompts = ["Mia is", "小明在", "Tom goes to the kitchen. " * 40]
    said = subject.generate(prompts, greedy)
    assert said[:2] == [
        groundup.generate(model, tokenizer, p, temperature=0, max_new_tokens=8) for p in prompts[:2]
    ]
    assert len(said) == 3 and subject.cut_prompts == 1
    stopped = subject.generate(prompts[:1], greedy, stop=[said[0][2:4]])
    assert stopped == [said[0][: said[0].index(said[0][2:4])]]


def test_progress_is_told_until_all_is_done(model, tokenizer):
    told = []
    LocalModel(model, tokenizer, 4, lambda *at: told.append(at)).log_likelihoods(PAIRS)
    assert told == [(4, 8), (8, 8)]


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> tuple[LocalModel, object]:
    """One random Llama twice: here, and in lm-evaluation-harness's class over transformers."""
    huggingface = pytest.importorskip("lm_eval.models.huggingface")
    transformers = pytest.importorskip("transformers")
    text = "".join(TEXTS) * 5
    tokenizer = Tokenizer.train_from_iterator([text], 300)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
        initializer_range=0.3,
    )  # fmt: skip
    theirs = transformers.LlamaForCausalLM(config).eval()
    folder: Path = tmp_path_factory.mktemp("llama")
    theirs.save_pretrained(folder)
    tokenizer.save(folder)
    reference = huggingface.HFLM(
        theirs, tokenizer=transformers.AutoTokenizer.from_pretrained(folder), batch_size=1,
        max_length=64,
    )  # fmt: skip
    return LocalModel(*groundup.load(folder)), reference


@pytest.mark.filterwarnings("ignore")
def test_likelihoods_are_those_of_lm_evaluation_harness(llama):
    from lm_eval.api.instance import Instance

    subject, reference = llama
    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(PAIRS)]
    expected = reference.loglikelihood(requests, disable_tqdm=True)
    for ours, (log_p, is_greedy) in zip(subject.log_likelihoods(PAIRS), expected, strict=True):
        assert -ours.nats == pytest.approx(log_p, abs=1e-4)
        assert ours.is_greedy == is_greedy


@pytest.mark.filterwarnings("ignore")
def test_rolling_likelihoods_are_those_of_lm_evaluation_harness(llama):
    from lm_eval.api.instance import Instance

    subject, reference = llama
    requests = [Instance("loglikelihood_rolling", {}, (t,), i) for i, t in enumerate(TEXTS)]
    expected = reference.loglikelihood_rolling(requests, disable_tqdm=True)
    for parts, log_p in zip(subject.rolling_log_likelihoods(TEXTS), expected, strict=True):
        assert -sum(part.nats for part in parts) == pytest.approx(log_p, abs=1e-3)
