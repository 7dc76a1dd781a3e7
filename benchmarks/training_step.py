"""Training step against transformers' GPT-2: same shape, same batch, AdamW, one run.

python benchmarks/training_step.py [--vocab-size 4096]
"""

import argparse
import json
import resource
import subprocess
import sys
import time

SHAPE = {"n_layers": 6, "n_heads": 6, "d_model": 384, "context_length": 256}
BATCH = 8


def measure(side: str, vocab_size: int) -> dict[str, float]:
    """Tokens per second and peak memory of one side, in this process."""
    import torch

    from groundup.model.cost import training_flops_per_token
    from groundup.model.presets import preset
    from groundup.train.metrics import matrix_peak

    config = preset("gpt-2-small", vocab_size=vocab_size, **SHAPE)
    ids = torch.randint(0, vocab_size, (BATCH, config.context_length + 1))
    step = our_step(config, ids) if side == "ours" else their_step(config, ids)
    for _ in range(2):
        step()
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    speed = BATCH * config.context_length / sorted(seconds)[3]
    return {
        "tokens_per_second": speed,
        "share_of_peak": speed * training_flops_per_token(config) / matrix_peak(),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def our_step(config, ids):
    from groundup.model.gpt import GPT
    from groundup.train.config import TrainConfig
    from groundup.train.loop import start_run, train
    from groundup.train.objectives import next_token

    run = start_run(GPT(config), TrainConfig(optimizer="adamw", steps=10**6))

    def step():
        run.config = run.config.model_copy(update={"steps": run.state.step + 1})
        train(run, lambda n: ids.numpy(), next_token)

    return step


def their_step(config, ids):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.context_length,
            n_embd=config.d_model,
            n_layer=config.n_layers,
            n_head=config.n_heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
        )  # fmt: skip
    ).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step():
        logits = model(ids[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocab-size", type=int, default=4096)
    parser.add_argument("--side", choices=("ours", "transformers"))
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.side, options.vocab_size)))
        return
    results: dict[str, list[dict[str, float]]] = {"ours": [], "transformers": []}
    for _ in range(options.repeats):  # alternating, each in a process of its own
        for side, measured in results.items():
            command = [sys.executable, __file__, "--side", side]
            command += ["--vocab-size", str(options.vocab_size)]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            measured.append(json.loads(output.splitlines()[-1]))
    middle = {
        side: {key: sorted(m[key] for m in measured)[len(measured) // 2] for key in measured[0]}
        for side, measured in results.items()
    }
    print(f"training step, vocabulary {options.vocab_size}, {SHAPE}, batch {BATCH}")
    for side, figures in middle.items():
        print(f"  {side:<13} {figures['tokens_per_second']:8,.0f} tokens/s   "
              f"{figures['share_of_peak']:.2f} of the matrix peak   "
              f"{figures['peak_bytes'] / 1e9:.2f} GB")  # fmt: skip
    ratio = middle["ours"]["tokens_per_second"] / middle["transformers"]["tokens_per_second"]
    print(f"  ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
