"""How fast is tuning? Packed conversations against plain pretraining at the same shape; and a LoRA job on
SmolLM2-135M against PEFT with transformers' Trainer, on the same rows.

python benchmarks/tuning.py packing|lora [--repeats 3]
"""

import argparse
import json
import subprocess
import sys
import tempfile

from command import DATA, smollm2

SHAPE = {"n_layers": 6, "n_heads": 6, "d_model": 384, "context_length": 512}
ROWS, STEPS, BATCH = DATA / "en/instructions.json", 8, 4
RANK, LORA_ROWS, LORA_BATCH = 16, 96, 8
# Linear layers of a Llama, as PEFT calls them.
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def examples(tokenizer, count: int | None = None):
    """Conversations of the file as ids, with what is to be learned of them."""
    from groundup.data.instructions import read_conversations
    from groundup.sources.rows import BadRows
    from groundup.tune.instruct import encode_conversations

    bad = BadRows()
    return encode_conversations(
        read_conversations([ROWS], bad)[:count], tokenizer, "assistant", bad
    )


def trained(model, batches, objective, steps: int) -> float:
    """Tokens per second of the loop, the first two steps not counted."""
    from groundup.train.config import TrainConfig
    from groundup.train.loop import start_run, train

    run = start_run(model, TrainConfig(optimizer="adamw", steps=2))
    train(run, batches, objective)
    run.config, before = (
        run.config.model_copy(update={"steps": 2 + steps}),
        (run.state.tokens, run.state.seconds),
    )
    train(run, batches, objective)
    return (run.state.tokens - before[0]) / (run.state.seconds - before[1])


def packing(side: str) -> float:
    import numpy as np

    from groundup.data.packing import PackedBatches, PackedRows, fit
    from groundup.model.gpt import GPT
    from groundup.model.presets import preset
    from groundup.tokenizer.tokenizer import Tokenizer
    from groundup.train.objectives import next_token
    from groundup.tune.instruct import instruct

    special = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"]
    tokenizer = Tokenizer.train([ROWS], 2048, special)
    length = SHAPE["context_length"]
    model = GPT(preset("gpt-2-small", vocab_size=tokenizer.vocab_size, **SHAPE))
    if side == "pretraining":
        ids = np.random.default_rng(0).integers(tokenizer.vocab_size, size=(BATCH, length + 1))
        return trained(model, lambda n: ids, next_token, STEPS)
    rows = PackedRows(fit(examples(tokenizer), length)[0], length)
    return trained(model, PackedBatches(rows, BATCH), instruct, STEPS)


def lora(side: str) -> float:
    return ours_lora() if side == "ours" else theirs_lora()


def ours_lora() -> float:
    from groundup.data.packing import PackedBatches, PackedRows, fit
    from groundup.model.lora import LoraConfig, add_lora
    from groundup.tune.instruct import instruct
    from groundup.weights.directory import load

    model, tokenizer = load(smollm2())
    add_lora(model, LoraConfig(rank=RANK))
    rows = PackedRows(fit(examples(tokenizer, LORA_ROWS), 512)[0], 512)
    return trained(model, PackedBatches(rows, 1), instruct, len(rows))


def theirs_lora() -> float:
    """The same rows by peft and transformers.Trainer, with its collator's padding, texts grouped by length."""
    import numpy as np
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import (
        AutoModelForCausalLM,
        DataCollatorForSeq2Seq,
        PreTrainedTokenizerFast,
        Trainer,
        TrainingArguments,
    )

    from groundup.weights.directory import load, save

    with tempfile.TemporaryDirectory() as folder:
        model, tokenizer = load(smollm2())
        save(model, tokenizer, folder)
        rows = [
            {
                "input_ids": example.ids.tolist(),
                "labels": np.where(example.spoken, example.ids, -100).tolist(),
            }
            for example in examples(tokenizer, LORA_ROWS)
        ]
        theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        tuned = get_peft_model(
            theirs, LoraConfig(r=RANK, target_modules=TARGETS, task_type="CAUSAL_LM")
        )
        reader = PreTrainedTokenizerFast(
            tokenizer_file=f"{folder}/tokenizer.json", pad_token="<|im_end|>"
        )
        arguments = TrainingArguments(
            output_dir=f"{folder}/out", per_device_train_batch_size=LORA_BATCH, num_train_epochs=1,
            report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True, use_cpu=True,
            train_sampling_strategy="group_by_length",
        )  # fmt: skip
        trainer = Trainer(
            tuned, arguments, train_dataset=rows, data_collator=DataCollatorForSeq2Seq(reader)
        )
        seconds = trainer.train().metrics["train_runtime"]
    return sum(len(row["input_ids"]) - 1 for row in rows) / seconds


SIDES = {"packing": ("tuning", "pretraining"), "lora": ("ours", "peft + Trainer")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=SIDES)
    parser.add_argument("--side")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if options.side:
        speed = (packing if options.what == "packing" else lora)(options.side)
        print(json.dumps(speed))
        return
    speeds: dict[str, list[float]] = {side: [] for side in SIDES[options.what]}
    for _ in range(options.repeats):  # alternating, each in a process of its own
        for side, measured in speeds.items():
            command = [sys.executable, __file__, options.what, "--side", side]
            output = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
            )
            measured.append(json.loads(output.stdout.splitlines()[-1]))
    middle = {side: sorted(measured)[len(measured) // 2] for side, measured in speeds.items()}
    what = (
        f"{SHAPE}, batch {BATCH}"
        if options.what == "packing"
        else f"SmolLM2-135M, rank {RANK}, {LORA_ROWS} conversations"
    )
    print(f"{options.what}, {what}, tokens that are text")
    for side, speed in middle.items():
        print(f"  {side:<15} {speed:8,.0f} tokens/s")
    first, second = middle.values()
    print(f"  ratio {first / second:.2f}")


if __name__ == "__main__":
    main()
