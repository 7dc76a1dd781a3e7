"""Models to and from model directories, the one artefact that stages hand each other.

`directory.py` saves and loads; a directory is laid out as on the Hugging Face hub: `config.json`,
`model.safetensors`, `tokenizer.json`, `tokenizer_config.json`, `generation_config.json`.

`vocabulary.py` gives a model another vocabulary: longer, or cut down to what a domain uses.
"""
