"""Small tokenizers of the kinds that published models have, learned on the spot."""

import io
import json
from pathlib import Path
from typing import Any

import sentencepiece
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXT = (
    "Mia is in the garden. Tom goes to the kitchen and takes 1234 red balls, isn't it?\n\n"
    "    def f(x):\n        return x + 1  # it's HELLO\r\n\ttab  two   three\n"
    "小明在花园。小红去了厨房，拿着红色的球。“小红在哪里？” Où est-elle ? Ça va, naïve café.\n"
) * 30
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TURNS = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + "
    "message['content'] | trim + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
INSTRUCTIONS = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}"
    "{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)
MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def byte_level(pre_tokenizer: Any, normalizer: Any = None, **model: Any) -> tokenizers.Tokenizer:
    """BPE on bytes, as GPT-2, Llama 3, Qwen and SmolLM have it."""
    made = tokenizers.Tokenizer(models.BPE(**model))
    made.pre_tokenizer, made.decoder = pre_tokenizer, decoders.ByteLevel()
    if normalizer:
        made.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=MARKS, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    made.train_from_iterator([TEXT], trainer)
    return made


def split(*patterns: str) -> pre_tokenizers.PreTokenizer:
    steps = [pre_tokenizers.Split(tokenizers.Regex(one), "isolated") for one in patterns]
    return pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(False, use_regex=False)])


def smollm() -> tokenizers.Tokenizer:
    digits = pre_tokenizers.Digits(individual_digits=True)
    return byte_level(pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(False)]))


def llama3() -> tokenizers.Tokenizer:
    made = byte_level(split(LLAMA3), ignore_merges=True)
    template = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    made.post_processor = processors.Sequence([processors.ByteLevel(False), template])
    return made


def qwen() -> tokenizers.Tokenizer:
    made = byte_level(split(LLAMA3.replace("{1,3}", "")), normalizers.NFC())
    made.add_tokens([tokenizers.AddedToken("<tool_call>", normalized=False)])
    return made


def deepseek() -> tokenizers.Tokenizer:
    return byte_level(split(r"\p{N}{1,3}", "[一-龥]+", r" ?\p{L}+|\s+(?!\S)|\s+"))


def byte_fallback(normalizer: Any, pre_tokenizer: Any, strips: bool) -> tokenizers.Tokenizer:
    """BPE on characters with bytes for the unknown ones, as in Llama 2, Mistral and Gemma: the
    pieces are learned, the ids of special tokens and bytes put before them. All ways to join a piece
    are merges, as in files made from SentencePiece models."""
    made = tokenizers.Tokenizer(models.BPE())
    if normalizer:
        made.normalizer = normalizer
    if pre_tokenizer:
        made.pre_tokenizer = pre_tokenizer
    learner = tokenizers.Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=300, show_progress=False)
    learner.train_from_iterator([TEXT[: len(TEXT) // 3]], trainer)
    learned = json.loads(learner.to_str())["model"]
    content = json.loads(made.to_str())
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    known = [piece for piece in learned["vocab"] if not set("小红厨") & set(piece)]
    pieces = list(dict.fromkeys([*names, *known, "\n\n"]))
    joins = [
        [piece[:at], piece[at:]]
        for piece in known
        for at in range(1, len(piece))
        if piece[:at] in known and piece[at:] in known
    ]
    content["model"] |= {
        "vocab": {piece: id_ for id_, piece in enumerate(pieces)}, "merges": joins,
        "unk_token": "<unk>", "byte_fallback": True, "fuse_unk": True,
    }  # fmt: skip
    ours = tokenizers.Tokenizer.from_str(json.dumps(content))
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    ours.decoder = decoders.Sequence([*steps, *([decoders.Strip(" ", 1, 0)] * strips)])
    ours.add_special_tokens(
        [tokenizers.AddedToken(name, normalized=False, special=True) for name in names[:3]]
    )
    ours.add_tokens([tokenizers.AddedToken("\n\n", normalized=False)])
    ours.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return ours


def llama2() -> tokenizers.Tokenizer:
    each = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return byte_fallback(each, None, strips=True)


def mistral() -> tokenizers.Tokenizer:
    first = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    return byte_fallback(None, first, strips=True)


def gemma() -> tokenizers.Tokenizer:
    return byte_fallback(normalizers.Replace(" ", "▁"), None, strips=False)


def unigram() -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    made.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>",
        show_progress=False,
    )  # fmt: skip
    made.train_from_iterator([TEXT], trainer)
    return made


BY_BYTES = (smollm, llama3, qwen, deepseek)
BY_PIECES = (llama2, mistral, gemma, unigram)


def write(made: tokenizers.Tokenizer, folder: Path) -> Path:
    """A tokenizer directory as `transformers` writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    pieces = made.token_to_id("<s>") is not None
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False,
        "bos_token": "<s>" if pieces else "<|endoftext|>",
        "eos_token": {"__type": "AddedToken", "content": "</s>"} if pieces else "<|im_end|>",
        "chat_template": INSTRUCTIONS if pieces else TURNS,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def sentence_piece(**options: Any) -> bytes:
    """The content of a `tokenizer.model` as Llama 2's was made."""
    model = io.BytesIO()
    settings = {
        "vocab_size": 330, "model_type": "bpe", "byte_fallback": True, "split_digits": True,
        "normalization_rule_name": "identity", "remove_extra_whitespaces": False,
        "character_coverage": 0.98, "minloglevel": 2, "num_threads": 1,
    }  # fmt: skip
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.splitlines()), model_writer=model, **settings | options
    )
    return model.getvalue()
