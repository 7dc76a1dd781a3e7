"""Models to and from files: the model directory, which stages hand each other, and other programs' files.

In: a directory laid out as on the Hugging Face hub (`config.json`, `model.safetensors`,
`tokenizer.json`, `tokenizer_config.json`, `generation_config.json`), llama.cpp's GGUF, llama2.c's .bin.
Out: such a directory, or GGUF. `directory.py` saves and loads, `classifier.py` models with labels,
`adapters.py` with `peft_config.py` LoRA adapters in PEFT's format; `convert.py` goes from one to the other;
`quantized.py` reads and writes models in few bits; `vocabulary.py` gives a model another vocabulary:
longer, or cut down to what a domain uses.
What the families call things is in `families.py` with `config_parts.py` and `names.py`, what
llama.cpp calls them in `architectures.py` with `gguf_parts.py` and `gguf_names.py`; `layouts.py` and
`assembly.py` put the numbers in their places.
"""
