"""Runs of others whose speed was published: what `gpus.py` is calibrated on, and measured by.

Each figure stands in the source that is named beside it, or is a quotient of two that do.
"""

from dataclasses import dataclass, replace

from groundup.model.config import ModelConfig
from groundup.model.presets import preset
from groundup.recipe.scale.gpus import GPUS_IN_A_MACHINE, find_gpu
from groundup.recipe.scale.layout import Checkpointing, Layout
from groundup.recipe.scale.speed import speed

TITAN = "https://github.com/pytorch/torchtitan/blob/main/"
TITAN_A100 = f"{TITAN}docs/performance.md (2024)"
TITAN_H100 = f"{TITAN}benchmarks/llama3_h100_202412_torchtitan.md"
LLM_C = "https://github.com/karpathy/llm.c/blob/master/scripts/"
NANOCHAT = "https://github.com/karpathy/nanochat/blob/master/"
MOSAIC = "https://github.com/mosaicml/llm-foundry/blob/main/scripts/train/benchmarking/README.md"
FMS = "https://github.com/foundation-model-stack/fms-fsdp"
# torchtitan's selective checkpointing keeps every second matrix product (its `parallelize_llama.py`).
EVERY_SECOND = 0.5


@dataclass(frozen=True)
class PublishedRun:
    """A training that was measured, in bfloat16."""

    name: str
    model: ModelConfig
    gpu: str
    layout: Layout
    tokens_per_second: float | int
    """Of one GPU."""
    source: str
    recomputed: float | None = None
    calibrates: bool = False
    """Whether the efficiency of its generation is taken from it."""
    network: float | None = None
    """Bytes a second of one GPU to other machines, where the source tells them."""

    @property
    def foretold(self) -> float:
        """Tokens a second of one GPU, by the formulas."""
        gpu = find_gpu(self.gpu)
        if self.network:
            gpu = replace(gpu, network=self.network)
        found = speed(self.model, self.layout, gpu, "bfloat16", self.recomputed)
        return found.tokens_per_second / self.layout.gpus

    @property
    def error(self) -> float:
        """By how much the formulas are too fast (above 0) or too slow."""
        return self.foretold / self.tokens_per_second - 1


def _llama_2(n_layers: int, d_model: int, d_ff: int) -> ModelConfig:
    """Touvron et al. 2023, appendix A: heads of 128; 70B has 8 heads of keys and values."""
    heads = d_model // 128
    return preset(
        "llama-3-8b-shape", n_layers=n_layers, d_model=d_model, n_heads=heads, d_ff=d_ff,
        n_kv_heads=8 if d_model == 8192 else heads, vocab_size=32000, context_length=4096,
    )  # fmt: skip


def _mpt(n_layers: int, d_model: int, n_heads: int) -> ModelConfig:
    return preset(
        "gpt-2-small", n_layers=n_layers, d_model=d_model, n_heads=n_heads, bias=False,
        vocab_size=50368, context_length=2048,
    )  # fmt: skip


def _nanochat_d24() -> ModelConfig:
    """As of January 2026: three of four layers see half of the context (its value embeddings are
    looked up, which takes no products)."""
    return preset(
        "nanochat-d20-shape", n_layers=24, d_model=1536, n_heads=12, vocab_size=32768,
        layer_pattern=["window", "window", "window", "full"], window=1024,
    )  # fmt: skip


LLAMA_8B, LLAMA_405B = preset("llama-3-8b-shape"), preset("llama-3-405b-shape")
LLAMA_70B = preset("llama-3-70b-shape")
LLAMA_2_7B, LLAMA_2_13B = _llama_2(32, 4096, 11008), _llama_2(40, 5120, 13824)
LLAMA_2_70B = _llama_2(80, 8192, 28672)
MPT = {
    "1B": _mpt(24, 2048, 16), "3B": _mpt(32, 2560, 20), "7B": _mpt(32, 4096, 32),
    "13B": _mpt(40, 5120, 40), "30B": _mpt(48, 7168, 56), "70B": _mpt(64, 8192, 64),
}  # fmt: skip


def _titan_a100(
    name: str,
    model: ModelConfig,
    checkpointing: Checkpointing,
    windows: int,
    rate: float | int,
    calibrates: bool = False,
) -> PublishedRun:
    again = EVERY_SECOND if checkpointing == "selective" else None
    layout = Layout(1, 64, 1, checkpointing, windows)
    return PublishedRun(name, model, "a100", layout, rate, TITAN_A100, again, calibrates)


def _titan_h100(name: str, gpus: int, rate: float | int, calibrates: bool = False) -> PublishedRun:
    layout = Layout(1, gpus, 1, "selective", 2)
    return PublishedRun(name, LLAMA_8B, "h100", layout, rate, TITAN_H100, EVERY_SECOND, calibrates)


def _llm_c(
    name: str, size: str, gpu: str, windows: int, batch: int, seconds: float, script: str
) -> PublishedRun:
    layout = Layout(8, 1, 1, "none", windows, batch // (8 * windows * 1024))
    model = preset(f"gpt-2-{size}")
    return PublishedRun(name, model, gpu, layout, batch / seconds / 8, LLM_C + script)


def _fms(
    name: str, model: ModelConfig, gpu: str, layout: Layout, rate: float | int, bits: float | int
):
    """Machines of eight GPUs with a network of so many bits a second."""
    return PublishedRun(name, model, gpu, layout, rate, FMS, network=bits / 8 / GPUS_IN_A_MACHINE)


def _mosaic(
    size: str, gpu: str, gpus: int, checkpointing, windows: int, passes: int, rate: float | int
):
    """The rows of 2,048 tokens on the most GPUs that the table has."""
    layout = Layout(1, gpus, 1, checkpointing, windows, passes)
    return PublishedRun(f"MPT {size}", MPT[size], gpu, layout, rate, MOSAIC)


PUBLISHED: tuple[PublishedRun, ...] = (
    _titan_a100("Llama 3 8B", LLAMA_8B, "selective", 1, 2973, True),
    _titan_a100("Llama 3 70B", LLAMA_70B, "full", 1, 331),
    _titan_a100("Llama 2 13B", LLAMA_2_13B, "none", 2, 2162),
    _titan_a100("Llama 2 13B", LLAMA_2_13B, "selective", 2, 1904),
    _titan_a100("Llama 2 70B", LLAMA_2_70B, "selective", 1, 355),
    _titan_a100("Llama 2 70B", LLAMA_2_70B, "full", 2, 353),
    _llm_c("GPT-2 124M", "small", "a100", 64, 524288, 0.300, "run_gpt2_124M.sh"),
    _llm_c("GPT-2 350M", "medium", "a100", 64, 524288, 0.820, "run_gpt2_350M.sh"),
    _llm_c("GPT-2 774M", "large", "a100", 32, 524288, 1.7, "run_gpt2_774M.sh"),
    PublishedRun("nanochat d20", preset("nanochat-d20-shape"), "a100", Layout(8, 1, 1, "none", 32),
                 529882 / 8, "https://github.com/karpathy/nanochat/pull/147"),
    _fms("Llama 2 7B", LLAMA_2_7B, "a100", Layout(16, 8, 1, "none", 2), 3760, 400e9),
    _fms("Llama 2 13B", LLAMA_2_13B, "a100", Layout(16, 8, 1, "none", 1), 1700, 400e9),
    _fms("Llama 2 70B", LLAMA_2_70B, "a100", Layout(1, 128, 1, "full", 6), 380, 400e9),
    _mosaic("1B", "a100", 8, "none", 14, 4, 20513),
    _mosaic("3B", "a100", 8, "none", 10, 2, 10811),
    _mosaic("7B", "a100", 8, "none", 6, 2, 4641),
    _mosaic("13B", "a100", 8, "none", 2, 3, 2262),
    _mosaic("30B", "a100", 8, "full", 3, 21, 916),
    _mosaic("70B", "a100", 64, "full", 8, 4, 410),
    _titan_h100("Llama 3.1 8B, compiled", 8, 6667, True),
    _titan_h100("Llama 3.1 8B", 8, 5762),
    _titan_h100("Llama 3.1 8B, compiled", 128, 6514),
    _titan_h100("Llama 3.1 8B", 128, 5605),
    PublishedRun("Llama 3.1 405B", LLAMA_405B, "h100", Layout(1, 16, 8, "full", 2), 109,
                 f"{TITAN}docs/performance.md (November 2024)"),
    _llm_c("GPT-2 1558M", "xl", "h100", 16, 1048576, 2.80, "run_gpt2_1558M.sh"),
    PublishedRun("nanochat d32", preset("nanochat-d32-shape"), "h100", Layout(8, 1, 1, "none", 8, 4),
                 524288 / 1.57188 / 8, f"{NANOCHAT}run1000.sh (2025)"),
    PublishedRun("nanochat d24", _nanochat_d24(), "h100", Layout(8, 1, 1, "none", 16, 2),
                 16704 * 524288 / 10949.46713 / 8, f"{NANOCHAT}dev/LEADERBOARD.md, run 1"),
    _fms("Llama 2 7B", LLAMA_2_7B, "h100", Layout(12, 8, 1, "none", 2), 7500, 800e9),
    _mosaic("1B", "h100", 64, "none", 20, 1, 44402),
    _mosaic("3B", "h100", 64, "none", 6, 3, 22525),
    _mosaic("7B", "h100", 8, "none", 6, 1, 10643),
    _mosaic("13B", "h100", 64, "none", 2, 1, 4800),
    _mosaic("30B", "h100", 32, "full", 14, 3, 2308),
    _mosaic("70B", "h100", 64, "full", 8, 4, 1039),
    # 29 % of an A100's peak, which nanoGPT compares every GPU with, at one pass of 12 windows.
    PublishedRun("GPT-2 124M", preset("gpt-2-small"), "rtx-4090", Layout(1, 1, 1, "none", 12, 40),
                 0.29 * 312e12 / 854438400, "https://github.com/karpathy/nanoGPT/issues/182", None, True),
)  # fmt: skip
