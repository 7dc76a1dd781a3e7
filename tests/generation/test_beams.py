"""Beams, beside transformers and beside all that there is."""

import itertools

import pytest
import torch
import transformers

from groundup.errors import InputError
from groundup.generation.beams import beam_search
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.weights import huggingface
from tests.generation.test_engine import MODELS
from tests.model.test_parts import small

PROMPT = [3, 1, 4, 1, 5]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory):
    """The same random Llama as theirs and as ours."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=30, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=64, initializer_range=0.4,
        bos_token_id=None, eos_token_id=7, pad_token_id=0,
    )  # fmt: skip
    theirs = transformers.LlamaForCausalLM(config).eval()
    folder = tmp_path_factory.mktemp("llama")
    theirs.save_pretrained(folder)
    return theirs, huggingface.read_model(folder).eval()


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("beams", [2, 4])
@pytest.mark.parametrize("prompt", [PROMPT, [2], [9, 9, 1]])
def test_the_beams_are_those_of_transformers(both, prompt, beams: int, length_penalty: float):
    theirs, ours = both
    given = theirs.generate(
        torch.tensor([prompt]), num_beams=beams, num_return_sequences=beams, max_new_tokens=20,
        do_sample=False, length_penalty=length_penalty, return_dict_in_generate=True,
        output_scores=True,
    )  # fmt: skip
    found = beam_search(ours, prompt, beams, 20, frozenset({7}), length_penalty)
    wanted = []
    for row in given.sequences[:, len(prompt) :].tolist():
        wanted.append(row[: row.index(7) + 1] if 7 in row else row)
    assert [beam.ids for beam in found] == wanted
    scores = torch.tensor([beam.score(length_penalty) for beam in found])
    torch.testing.assert_close(scores, given.sequences_scores, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("parts", ["windows", "memory", "latent"])
def test_as_many_beams_as_there_are_texts_find_the_likeliest(parts: str):
    model = small(**MODELS[parts], vocab_size=6)
    prompt = [3, 1, 4, 1, 5]
    texts = torch.tensor(list(itertools.product(range(6), repeat=3)))
    with torch.no_grad():
        ids = torch.cat([torch.tensor([prompt]).expand(len(texts), -1), texts], dim=1)
        log_probs = model(ids).log_softmax(-1)[:, len(prompt) - 1 : -1]
    sums = log_probs.gather(2, texts[:, :, None]).sum(dim=(1, 2))
    best = beam_search(model, prompt, 36, 3)[0]
    assert best.ids == texts[sums.argmax()].tolist()
    assert best.log_prob == pytest.approx(sums.max().item(), abs=1e-4)


def test_one_beam_is_greedy_and_ends_where_the_context_does():
    model = small()
    greedy = SamplingConfig(temperature=0, max_new_tokens=28)
    alone = list(Engine(model).stream(PROMPT, greedy))
    assert beam_search(model, PROMPT, 1, 100)[0].ids == alone
    with pytest.raises(InputError, match="the prompt is empty"):
        beam_search(model, [], 2, 5)


def test_a_search_in_which_all_beams_end_is_over():
    model = small()
    with torch.no_grad():
        likeliest = model(torch.tensor([PROMPT]))[0, -1].topk(2).indices.tolist()
    (found,) = beam_search(model, PROMPT, 1, 5, frozenset(likeliest))
    assert found.ids == likeliest[:1]
