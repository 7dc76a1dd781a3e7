"""The files for Slurm, Kubernetes and Ray start the training that they stand for: two processes meet by what
each of the three sets, and train the same model."""

import json
import os
import random
import runpy
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from tests.conftest import STORY

DEPLOY = Path(__file__).parents[2] / "deploy"
SMALL = [
    "--preset=nano", "--vocab-size=300", "--model.d_model=32", "--model.n_layers=1", "--model.n_heads=2",
    "--model.context_length=32", "--train.steps=3", "--train.eval_every=0",
]  # fmt: skip
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

# What stands for Slurm: each node's task is a process here.
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
for ((node = 0; node < SLURM_JOB_NUM_NODES; node++)); do "$@" & done
for task in $(jobs -p); do wait "$task" || status=$?; done
exit ${status:-0}
"""
SCONTROL = """#!/bin/bash
if [[ $1 == show ]]; then printf 'localhost\\nother\\n'; else echo "$*" >> scontrol; fi
"""
# The same, with a step that is over at once.
SAYING = """#!/bin/bash
echo "$*" > srun
if [[ $TOLD ]]; then echo -n "$TOLD" > "$GROUNDUP_STATUS_FILE"; fi
exit 1
"""
# What Ray does in each worker before it calls the function of the script, and after.
RAY_WORKER = """
import runpy, sys, torch.distributed as dist
dist.init_process_group("gloo")
status = runpy.run_path(sys.argv[1])["work"](sys.argv[2:])
dist.destroy_process_group()
sys.exit(status)
"""


def free_port() -> int:
    """One of those that Slurm's script takes."""
    while True:
        port = random.randrange(20000, 30000)
        with socket.socket() as tried:
            if tried.connect_ex(("localhost", port)):
                return port


def slurm(folder: Path, srun: str, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The script in a job of two nodes without GPUs."""
    (folder / "bin").mkdir()
    for name, text in {"srun": srun, "scontrol": SCONTROL}.items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    job = {
        "PATH": f"{folder}/bin:{PATH}", "SLURM_JOB_ID": str(free_port() - 20000),
        "SLURM_JOB_NODELIST": "localhost,other", "SLURM_JOB_NUM_NODES": "2",
    }  # fmt: skip
    return subprocess.run(
        ["bash", DEPLOY / "slurm.sh", *command],
        cwd=folder, env=os.environ | job | more, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def together(commands: list[list[str]], environments: list[dict[str, str]]) -> None:
    """Two processes, until both are over."""
    running = [
        subprocess.Popen(
            command, env=os.environ | {"PATH": PATH} | environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for command, environment in zip(commands, environments, strict=True)
    ]  # fmt: skip
    said = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], said


def in_slurm(shared: Path) -> None:
    ended = slurm(
        shared, SRUN, "pretrain", f"--data={shared}/corpus", *SMALL, "--out", "runs/corpus"
    )
    assert ended.returncode == 0, ended.stderr
    assert not list(shared.glob("*.status")) and not (shared / "scontrol").exists()


def in_kubernetes(shared: Path) -> None:
    """The container's command, in the environment that the operator gives it for an elastic policy."""
    spec = job()["spec"]
    policy, worker = spec["elasticPolicy"], spec["pytorchReplicaSpecs"]["Worker"]
    replicas, container = worker["replicas"], worker["template"]["spec"]["containers"][0]
    environment = {entry["name"]: entry["value"] for entry in container["env"]} | {
        "PET_RDZV_ENDPOINT": f"localhost:{free_port()}",
        "PET_RDZV_BACKEND": policy["rdzvBackend"],
        "PET_RDZV_CONF": ",".join(f"{each['key']}={each['value']}" for each in policy["rdzvConf"]),
        "PET_NNODES": f"{replicas}:{replicas}",
        "PET_MAX_RESTARTS": str(policy["maxRestarts"]),
    }
    command = [word.replace("gpu", "1") for word in container["command"]]  # here are none
    arguments = [word.replace("/shared", str(shared)) for word in container["args"]]
    together([[*command, *arguments, *SMALL]] * replicas, [environment] * replicas)


def in_ray(shared: Path) -> None:
    command = ["pretrain", f"--data={shared}/corpus", *SMALL, f"--out={shared}/runs/corpus"]
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port())}
    worker = [sys.executable, "-c", RAY_WORKER, str(DEPLOY / "ray_train.py"), *command]
    together([worker] * 2, [place | {"RANK": rank, "LOCAL_RANK": rank} for rank in "01"])


def trained(start: Any, shared: Path) -> dict[str, Any]:
    """The summary of a training in a folder that all processes see."""
    (shared / "corpus").mkdir()
    (shared / "corpus/story.txt").write_text(STORY, encoding="utf-8")
    start(shared)
    return json.loads((shared / "runs/corpus/pretrain/summary.json").read_text())


@pytest.fixture(scope="module")
def under_slurm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return trained(in_slurm, tmp_path_factory.mktemp("slurm"))


@pytest.mark.parametrize("start", [in_kubernetes, in_ray])
def test_all_launchers_train_the_same_model(
    start: Any, under_slurm: dict[str, Any], tmp_path: Path
):
    assert under_slurm["steps"] == 3
    assert trained(start, tmp_path)["model_checksum"] == under_slurm["model_checksum"]


@pytest.mark.skipif(not find_spec("ray"), reason="Ray is not here: pip install 'ray[train]'")
def test_ray_itself_trains_the_same_model(under_slurm: dict[str, Any], tmp_path: Path):
    def with_ray(shared: Path) -> None:
        command = ["pretrain", f"--data={shared}/corpus", *SMALL, f"--out={shared}/runs/corpus"]
        script = [sys.executable, DEPLOY / "ray_train.py", "--workers", "2", *command]
        ended = subprocess.run(script, capture_output=True, text=True, timeout=300)
        assert ended.returncode == 0, ended.stderr

    assert trained(with_ray, tmp_path)["model_checksum"] == under_slurm["model_checksum"]


def test_a_job_of_slurm_that_was_stopped_goes_back_into_the_queue(tmp_path: Path):
    ended = slurm(
        tmp_path, SAYING, "pretrain", "--data", "corpus", TOLD="130", SLURM_GPUS_ON_NODE="8"
    )
    assert ended.returncode == 130
    assert (tmp_path / "scontrol").read_text().startswith("requeue ")
    started = (tmp_path / "srun").read_text()
    assert "--nnodes 2 --nproc-per-node 8 " in started
    assert started.endswith("-m groundup.cli.main pretrain --data corpus\n")


@pytest.mark.parametrize(("told", "status"), [("2", 2), ("", 1)])
def test_a_job_of_slurm_that_failed_does_not(told: str, status: int, tmp_path: Path):
    assert slurm(tmp_path, SAYING, "pretrain", TOLD=told).returncode == status
    assert not (tmp_path / "scontrol").exists()


@pytest.mark.parametrize(("verb", "resumed"), [("pretrain", True), ("run", False)])
def test_a_job_of_slurm_that_comes_back_goes_on(verb: str, resumed: bool, tmp_path: Path):
    slurm(tmp_path, SAYING, verb, "x", SLURM_RESTART_COUNT="1")
    assert (tmp_path / "srun").read_text().endswith("x --resume\n") is resumed


def test_a_wrong_command_under_ray_is_not_started_again(capsys: pytest.CaptureFixture[str]):
    work = runpy.run_path(str(DEPLOY / "ray_train.py"))["work"]
    assert work(["pretrain", "--data", "nowhere.txt"]) == 2
    assert work(["run", "nosuch"]) == 2
    told = capsys.readouterr().err
    assert "nowhere.txt" in told and "nosuch" in told and "--resume" not in told


def job() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "pytorchjob.yaml").read_text(encoding="utf-8"))


TEXT, NUMBER, TRUTH = ({"type": kind} for kind in ("string", "integer", "boolean"))


def fields(*needed: str, **known: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": known,
        "required": needed,
        "additionalProperties": False,
    }


def several(schema: dict[str, Any], least: int = 1) -> dict[str, Any]:
    return {"type": "array", "items": schema, "minItems": least}


# Kubeflow's training operator 1.9, kubeflow.org/v1: all fields of its own that take plain values, and those of
# Kubernetes' PodSpec that are needed here.
CONTAINER = fields(
    "name", "image", name={"const": "pytorch"}, image=TEXT, command=several(TEXT), args=several(TEXT),
    env=several(fields("name", "value", name=TEXT, value=TEXT)),
    resources=fields(limits={"type": "object", "additionalProperties": {"type": ["string", "integer"]}}),
    volumeMounts=several(fields("name", "mountPath", name=TEXT, mountPath=TEXT, readOnly=TRUTH)),
)  # fmt: skip
VOLUME = fields(
    "name", name=TEXT, persistentVolumeClaim=fields("claimName", claimName=TEXT),
    emptyDir=fields(medium=TEXT, sizeLimit=TEXT),
)  # fmt: skip
POD = fields(
    "containers", containers=several(CONTAINER), volumes=several(VOLUME),
    terminationGracePeriodSeconds=NUMBER, securityContext=fields(fsGroup=NUMBER, runAsUser=NUMBER),
)  # fmt: skip
REPLICA = fields(
    replicas={"type": "integer", "minimum": 1}, template=fields(spec=POD),
    restartPolicy={"enum": ["Always", "OnFailure", "Never", "ExitCode"]},
)  # fmt: skip
ELASTIC = fields(
    minReplicas=NUMBER, maxReplicas=NUMBER, maxRestarts=NUMBER, rdzvHost=TEXT, rdzvPort=NUMBER, rdzvId=TEXT,
    rdzvBackend={"enum": ["c10d", "etcd", "etcd-v2"]}, standalone=TRUTH,
    rdzvConf=several(fields(key=TEXT, value=TEXT)),
)  # fmt: skip
POLICY = fields(
    activeDeadlineSeconds=NUMBER, backoffLimit=NUMBER, suspend=TRUTH, ttlSecondsAfterFinished=NUMBER,
    cleanPodPolicy={"enum": ["All", "Running", "None"]}, managedBy=TEXT,
)  # fmt: skip
PYTORCHJOB = fields(
    "apiVersion", "kind", "metadata", "spec",
    apiVersion={"const": "kubeflow.org/v1"}, kind={"const": "PyTorchJob"}, metadata=fields("name", name=TEXT),
    spec=fields(
        "pytorchReplicaSpecs", "runPolicy", elasticPolicy=ELASTIC, runPolicy=POLICY, nprocPerNode=TEXT,
        pytorchReplicaSpecs=fields("Worker", Worker=REPLICA),
    ),
)  # fmt: skip


def test_the_job_of_kubernetes_is_one():
    jsonschema_rs.validate(PYTORCHJOB, job())
    pod = job()["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]["spec"]
    mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
