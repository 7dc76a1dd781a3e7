"""Several real processes train the model that one process trains."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import torch

from groundup.cli.main import run
from groundup.errors import InputError
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.train import processes
from groundup.train.config import ParallelConfig, TrainConfig
from groundup.train.metrics import read_metrics
from groundup.train.parallel import Layout, Parallel, lay_out
from tests.conftest import groundup
from tests.train import spread

# In the end half of them are hardly asked, and in some steps by one process alone.
EXPERTS = {"experts": {"count": 4, "active": 1}}
BY_TWO = {
    "data": {"layout": {"data": 2}},
    "shard": {"layout": {"shard": 2}},
    "tensor": {"layout": {"tensor": 2}},
    "full": {"layout": {"data": 2, "checkpointing": "full"}},
    "selective": {"layout": {"shard": 2, "checkpointing": "selective"}},
    "experts-data": {"layout": {"data": 2}, "parts": EXPERTS},
    "experts-shard": {"layout": {"shard": 2}, "parts": EXPERTS},
}
BY_FOUR = {
    "data-4": {"layout": {"data": 4}},
    "data-shard": {"layout": {"data": 2, "shard": 2}},
    "shard-tensor": {"layout": {"shard": 2, "tensor": 2}},
    "data-tensor": {"layout": {"data": 2, "tensor": 2}},
    "resumed": {"layout": {"shard": 4}, "resumes": "shard"},
}
LAYOUTS = [*BY_TWO, *BY_FOUR]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the processes of all layouts have found."""
    folder = tmp_path_factory.mktemp("spread")
    for count, layouts in ((2, BY_TWO), (4, BY_FOUR)):
        command = [
            sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}",
            "-m", "tests.train.spread", str(folder), json.dumps(layouts),
        ]  # fmt: skip
        ended = subprocess.run(command, capture_output=True, text=True, timeout=500)
        assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture(scope="module")
def alone() -> tuple[list[float], dict[str, torch.Tensor]]:
    return spread.trained({})


@pytest.mark.parametrize("name", LAYOUTS)
def test_it_is_the_training_of_one_process(name: str, folder: Path, alone):
    losses, weights = torch.load(folder / f"{name}.pt", weights_only=True)
    if parts := (BY_TWO | BY_FOUR)[name].get("parts"):
        alone = spread.trained({}, parts=parts)
    assert losses == pytest.approx(alone[0][-len(losses) :], abs=1e-5)
    for parameter, expected in alone[1].items():
        torch.testing.assert_close(weights[parameter], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["data", "shard", "tensor", "shard-tensor", "data-tensor"])
def test_one_process_goes_on_from_what_several_have_saved(name: str, folder: Path, alone):
    losses, _ = spread.trained({}, resumes=folder / name)
    assert losses[0] == pytest.approx(alone[0][spread.SAVED_AT], abs=1e-6)
    assert losses == pytest.approx(alone[0][spread.SAVED_AT :], abs=1e-5)


def test_four_processes_go_on_from_what_two_have_saved(folder: Path, alone):
    losses, _ = torch.load(folder / "resumed.pt", weights_only=True)
    assert losses[0] == pytest.approx(alone[0][spread.SAVED_AT], abs=1e-6)


@pytest.mark.parametrize("checkpointing", ["selective", "full"])
def test_forgetting_activations_changes_nothing_in_one_process(checkpointing: str, alone):
    losses, weights = spread.trained({"checkpointing": checkpointing})
    assert losses == alone[0]
    assert all(torch.equal(weights[name], expected) for name, expected in alone[1].items())


GUIDE = Path(__file__).parents[2] / "docs/en/parallel.md"
# What is large in the guide's commands, and what stands for it here.
SMALLER = {
    "--nnodes 8": "--nnodes 1", "--nproc-per-node 8": "--nproc-per-node 2", "node1:29500": "localhost:0",
    "--data corpus": "--data story.txt", "--preset gpt-2-small": "--preset nano", "--out /shared/": "--out ",
    "--parallel.shard 8": "--parallel.shard 2 --preset nano",
}  # fmt: skip


def guided() -> list[str]:
    """The commands of the guide that start groundup by torchrun."""
    return re.findall(
        r"^torchrun .* -m groundup.*", GUIDE.read_text(encoding="utf-8"), re.MULTILINE
    )


@pytest.mark.parametrize("command", guided())
def test_the_commands_of_the_guide_train_a_model(command: str, story: Path):
    for large, small in SMALLER.items():
        command = command.replace(large, small)
    words = f"{command} --train.steps 2 --vocab-size 300".removeprefix("torchrun").split()
    start = [sys.executable, "-m", "torch.distributed.run", *words]
    ended = subprocess.run(start, cwd=story.parent, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stderr
    assert (story.parent / "runs/corpus/pretrain/model/model.safetensors").is_file()


def test_there_are_such_commands():
    assert len(guided()) == 2


def test_the_guide_s_lesson_trains_the_model_of_one_process():
    lesson = Path(__file__).parents[2] / "docs/examples/data_parallel.py"
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    said = subprocess.run([*start, lesson], capture_output=True, text=True, check=True).stdout
    found = re.fullmatch(r"2 processes, 20 steps: at most (.*) apart\n", said)
    assert found and float(found[1]) < 1e-6


COMPILED = """
import sys, torch
from torch._dynamo.utils import counters
from tests.train import spread
torch.set_num_threads(1)
found = spread.trained({"compile": True, "checkpointing": "full"})
torch.save((*found, len(counters["graph_break"]), counters["stats"]["unique_graphs"]), sys.argv[1])
"""


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile wants a compiler of C++")
def test_compiled_blocks_train_the_same_model(alone, tmp_path: Path):
    """In a process of its own: what checks the types of arguments cannot be compiled."""
    command = [sys.executable, "-c", COMPILED, str(tmp_path / "found.pt")]
    subprocess.run(command, check=True, timeout=300)
    losses, weights, breaks, graphs = torch.load(tmp_path / "found.pt", weights_only=True)
    assert losses == pytest.approx(alone[0], abs=1e-5)
    for name, expected in alone[1].items():
        torch.testing.assert_close(weights[name], expected, rtol=0, atol=1e-4)
    assert (breaks, graphs) == (0, 1), "all blocks are one graph, and nothing is left to Python"


def test_bfloat16_learns_nearly_the_same(alone):
    losses, weights = spread.trained({"dtype": "bfloat16"})
    assert losses != alone[0]
    assert losses == pytest.approx(alone[0], rel=0.02)
    assert all(parameter.dtype == torch.float32 for parameter in weights.values())


def test_a_layout_takes_what_processes_there_are():
    assert lay_out(ParallelConfig(), 4) == Layout(4, 1, 1)
    assert lay_out(ParallelConfig(shard=2), 8) == Layout(4, 2, 1)
    with pytest.raises(InputError, match="needs 6 processes, and there are 4"):
        lay_out(ParallelConfig(shard=3, tensor=2), 4)
    with pytest.raises(InputError, match="needs 2 processes, and there is 1"):
        lay_out(ParallelConfig(data=2), 1)


@pytest.mark.parametrize(
    ("micro_batch", "grad_accumulation", "replicas", "expected"),
    [(16, 1, 4, (4, 4)), (16, 4, 4, (16, 4)), (16, 2, 4, (8, 4)), (6, 1, 3, (2, 3))],
)
def test_a_step_is_divided_into_as_many_windows_as_before(
    micro_batch: int, grad_accumulation: int, replicas: int, expected: tuple[int, int]
):
    parallel = Parallel()
    parallel.replicas = replicas
    divided = parallel.divide(
        TrainConfig(micro_batch=micro_batch, grad_accumulation=grad_accumulation)
    )
    assert (divided.micro_batch, divided.grad_accumulation) == expected


def test_windows_that_cannot_be_divided_are_refused():
    parallel = Parallel()
    parallel.replicas = 3
    with pytest.raises(
        InputError, match="16 windows of a micro-batch cannot be divided by 3"
    ) as refused:
        parallel.divide(TrainConfig(micro_batch=16))
    assert refused.value.fix and "use 15" in refused.value.fix


def test_heads_that_cannot_be_shared_are_refused():
    from groundup.train.mesh import _refuse_indivisible

    config = ModelConfig(vocab_size=50, d_model=32, n_heads=4, n_kv_heads=2, n_layers=1)
    with pytest.raises(InputError, match="n_kv_heads of 2") as refused:
        _refuse_indivisible(GPT(config), 4)
    assert refused.value.fix and refused.value.fix.endswith("2")


SMALL = (
    "--preset", "nano", "--vocab-size", "300", "--model.d_model", "32", "--model.n_layers", "1",
    "--model.n_heads", "2", "--model.context_length", "32", "--train.steps", "60",
    "--train.checkpoint_every", "20", "--train.eval_every", "30",
)  # fmt: skip


def pretrain(story: Path, out: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "groundup.cli.main", "pretrain", "--data", str(story), *SMALL, "--out",
        str(out), "--json", *more,
    ]  # fmt: skip


def test_killing_one_of_two_loses_nothing(story: Path, tmp_path: Path):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    said = groundup(*pretrain(story, undisturbed, "--parallel.processes", "2")[3:])
    assert said.returncode == 0, said.stderr
    longer = pretrain(story, killed, "--parallel.processes", "2")
    process = subprocess.Popen(longer, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list(killed.glob("pretrain/checkpoints/step-*")):
        time.sleep(0.02)
    victim = next(p for p in workers(process.pid) if p.environ().get("RANK") == "1")
    victim.kill()
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert "Traceback" not in error
    one, other = (json.loads(text.splitlines()[-1]) for text in (said.stdout, out))
    assert one["model_checksum"] == other["model_checksum"]
    assert "where the time went: " in error and sum(other["time_shares"].values()) == pytest.approx(
        1
    )
    steps = [
        [row["step"] for row in read_metrics(run / "pretrain/processes.jsonl")]
        for run in (undisturbed, killed)
    ]
    assert steps[0] == steps[1] == [1, 10, 20, 30, 40, 50, 60]


def workers(pid: int) -> list[psutil.Process]:
    below = psutil.Process(pid).children(recursive=True)
    return [p for p in below if "groundup.cli.main" in p.cmdline()]


def test_a_layout_that_does_not_fit_is_one_message_of_one_process(story: Path, tmp_path: Path):
    command = pretrain(
        story, tmp_path / "out", "--parallel.processes", "2", "--parallel.shard", "3"
    )
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, env=os.environ)
    assert ended.returncode == 2
    assert ended.stderr.count("error:") == 1
    assert "data 1 x shard 3 x tensor 1 needs 3 processes, and there are 2" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "out" / "pretrain").exists()


def test_a_folder_that_is_not_shared_is_one_message_of_one_process(story: Path, tmp_path: Path):
    """Every process stands in a folder of its own, as on machines that share none."""
    command = ["--parallel.data", "2", "--data", str(story), "--preset", "nano", "--out", "run"]
    program = f"""
import os, sys
from groundup.cli.main import main
folder = {str(tmp_path)!r} + "/" + os.environ["RANK"]
os.makedirs(folder)
os.chdir(folder)
sys.argv[1:] = ["pretrain", *{command!r}]
main()
"""
    (tmp_path / "apart.py").write_text(program, encoding="utf-8")
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    ended = subprocess.run(
        [*start, tmp_path / "apart.py"], capture_output=True, text=True, timeout=200
    )
    assert ended.returncode != 0
    assert ended.stderr.count("error:") == 1
    assert "the processes 1 (" in ended.stderr and "do not see the run directory" in ended.stderr
    assert "let --out be on a file system that all machines share" in ended.stderr


def test_a_full_disk_ends_all_processes_with_one_message(story: Path, tmp_path: Path):
    command = pretrain(story, tmp_path / "run", "--parallel.processes", "2")
    limited = ["bash", "-c", 'ulimit -f 20; exec "$@"', "bash", *command]
    ended = subprocess.run(limited, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 1
    assert ended.stderr.count("error: cannot write: File too large") == 1
    assert ended.stderr.count("error:") == 1 and "Traceback" not in ended.stderr


def of_two(rank: str, port: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be one of two processes that another launcher than torchrun has started."""
    place = {"RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    for name, value in place.items():
        monkeypatch.setenv(name, value)


def test_a_port_that_is_taken_is_one_message(monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        of_two("0", port, monkeypatch)
        assert run(["pretrain", "--data", "story.txt"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(
        "error: another program listens where the processes of this training meet"
    )
    assert f"where: 127.0.0.1:{port}\n" in told and "set MASTER_PORT to a free port" in told


def test_processes_that_do_not_come_are_one_message(monkeypatch, capsys):
    monkeypatch.setattr(processes, "TIMEOUT", timedelta(seconds=1))
    of_two("0", 0, monkeypatch)
    assert run(["pretrain", "--data", "story.txt"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: the processes of this training do not find each other")
    assert "start all of them" in told


@pytest.mark.parametrize(
    ("name", "value"), [("MASTER_PORT", "x"), ("MASTER_ADDR", ""), ("WORLD_SIZE", "two")]
)
def test_an_environment_that_says_no_place_to_meet_is_wrong_input(
    name: str, value: str, monkeypatch, capsys
):
    of_two("0", 29500, monkeypatch)
    monkeypatch.setenv(name, value)
    assert run(["pretrain", "--data", "story.txt"]) == 2
    assert "set RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT" in capsys.readouterr().err
