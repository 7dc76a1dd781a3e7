"""Published weights in our model: SmolLM2-135M-Instruct from its GGUF file, stories260K from llama2.c's."""

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

import groundup
from groundup.weights.directory import load, load_model, read_config
from groundup.weights.gguf import read_gguf_model, write_gguf
from tests.conftest import groundup as command
from tests.weights.llama_cpp import differs_at_a_tie, greedy, serving

# What llama2.c's own test expects of it (test_all.py): greedy, 200 steps, no prompt.
STORY = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One "
    "day, she saw a big, red ball. She wanted to play with it, but it was too high.\nLily's mom said, "
    '"Lily, let\'s go to the park." Lily was sad and didn\'t know what to do. She said, "I want to '
    "play with your ball, but I can't find it.\"\nLily was sad and didn't know what to do. She said, "
    "\"I'm sorry, Lily. I didn't know what to do.\"\nLily didn't want to help her mom, so she"
)


def in_single_precision(source: Path, path: Path) -> Path:
    """A copy of a GGUF file with all tensors in float32, by the library's own reader and writer."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(path, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            kind, *rest = field.types
            writer.add_key_value(name, field.contents(), kind, rest[-1] if rest else None)
    for tensor in reader.tensors:
        floats = gguf.dequantize(tensor.data, tensor.tensor_type)
        writer.add_tensor(tensor.name, floats.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_smollm2s_answers_are_llama_cpps(smollm2: Path, tmp_path: Path):
    # With twenty prompts of 32 tokens in benchmarks/llama_cpp.py.
    model, tokenizer = load(smollm2)
    copy = in_single_precision(smollm2, tmp_path / "f32.gguf")
    prompt = tokenizer.encode_prompt("The capital of France is")
    ours = greedy(model, prompt, 8, tokenizer.end_ids)
    assert "Paris" in tokenizer.decode(ours)
    with serving(copy) as llama_cpp:
        assert not differs_at_a_tie(model, prompt, ours, llama_cpp(prompt, 8).ids)


def test_smollm2_chats_in_its_own_template_and_knows_when_it_is_done(smollm2: Path):
    said = command("chat", smollm2, stdin="What is the capital of France?\n")
    assert said.stdout == "The capital of France is Paris.\n"


def test_quickstart_with_published_weights_ends_with_an_answer(smollm2: Path):
    made = command("quickstart", "--pretrained", "--json")
    figures = json.loads(made.stdout)
    assert figures["parameters"] == 134_515_008 and "Paris" in figures["answer"]
    assert figures["model"] == str(smollm2) and "134,515,008 parameters" in made.stderr


def test_stories260k_tells_the_story_that_llama2c_tells(stories260k: Path):
    model, tokenizer = load(stories260k)
    assert groundup.generate(model, tokenizer, "", max_new_tokens=200, temperature=0.0) == STORY


def test_stories260k_is_measured_and_described(stories260k: Path, tmp_path: Path):
    (tmp_path / "story.txt").write_text(STORY, encoding="utf-8")
    measured = command("evaluate", stories260k, "--text", tmp_path / "story.txt", "--json")
    assert 0.2 < json.loads(measured.stdout)["bits_per_byte"] < 0.8  # the likeliest of stories
    assert sum(p.numel() for p in load_model(stories260k).parameters()) == 260_032
    assert read_config(stories260k).n_kv_heads == 4


def test_training_goes_on_from_a_file_of_somebody_elses(stories260k: Path, tmp_path: Path):
    (tmp_path / "text.txt").write_text(STORY * 20, encoding="utf-8")
    done = command("pretrain", "--data", tmp_path / "text.txt", "--from", stories260k, "--train.steps",
                   2, "--train.micro_batch", 1, "--out", tmp_path / "run", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    model, tokenizer = load(json.loads(done.stdout)["model"])
    assert model.config == read_config(stories260k) and tokenizer.begin_ids == [1]


@torch.no_grad()
def test_stories260k_becomes_a_file_that_llama_cpp_runs(stories260k: Path, tmp_path: Path):
    model, tokenizer = load(stories260k)
    path = tmp_path / "stories.gguf"
    write_gguf(model, tokenizer, path, "f32")
    prompt = tokenizer.encode_prompt("Once upon a time")
    with serving(path, n_ctx=256) as llama_cpp:
        said = llama_cpp(prompt, 64)
    assert not differs_at_a_tie(
        model, prompt, greedy(model, prompt, 64, tokenizer.end_ids), said.ids
    )
    again = read_gguf_model(path)
    assert all(map(torch.equal, model.parameters(), again.parameters()))


def test_a_model_of_llama2c_without_its_tokenizer_says_which_file_is_missing(
    stories260k: Path, tmp_path: Path
):
    (tmp_path / "model.bin").write_bytes(stories260k.read_bytes())
    with pytest.raises(groundup.InputError, match="tokenizer is missing") as error:
        load(tmp_path / "model.bin")
    assert "tok512.bin" in str(error.value)


@pytest.mark.parametrize("length", [0, 10, 28, 1000, 1_056_539])
def test_a_cut_file_of_llama2c_is_refused(stories260k: Path, tmp_path: Path, length: int):
    path = tmp_path / "cut.bin"
    path.write_bytes(stories260k.read_bytes()[:length])
    with pytest.raises(groundup.GroundupError, match=r"llama2\.c"):
        load(path)


def test_a_pickle_named_bin_is_refused_with_what_to_do(tmp_path: Path):
    torch.save({"weight": torch.ones(3)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(groundup.InputError, match="not a model of llama2") as error:
        load(tmp_path / "pytorch_model.bin")
    assert "pickle" in str(error.value)
