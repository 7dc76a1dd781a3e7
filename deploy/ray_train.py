"""A training on the workers of a Ray cluster. After the script stands a command of groundup's, as it would be
on one machine (pretrain, finetune or run):

    python deploy/ray_train.py --workers 8 --gpus pretrain --data /shared/corpus --out /shared/runs/corpus

It needs groundup and ray[train] on all machines, and paths that all of them see; RAY_ADDRESS says where the
cluster is, else this machine is one. When a worker ends, Ray starts all of them again, and they go on from the
newest checkpoint.
"""

import argparse
import sys

from groundup.cli.main import run

RESTARTS = 3


def work(command: list[str]) -> int:
    """What each worker does, in the process group that Ray has made: the status of the command. Raises where
    starting it again can help."""
    # With --resume a training goes on, if one was begun; `run` does so unasked.
    status = run(command if command[:1] == ["run"] else [*command, "--resume"])
    if status == 1:
        raise RuntimeError("the training has ended; why stands above")
    return status


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=1, help="so many processes")
    parser.add_argument("--gpus", action="store_true", help="each worker has a GPU")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="of groundup: pretrain --data …")
    parsed = parser.parse_args()

    from ray.train import FailureConfig, RunConfig, ScalingConfig  # pyright: ignore[reportMissingImports]
    from ray.train.torch import TorchConfig, TorchTrainer  # pyright: ignore[reportMissingImports]

    trainer = TorchTrainer(
        lambda: work(parsed.command),
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if parsed.gpus else "gloo"),
        scaling_config=ScalingConfig(num_workers=parsed.workers, use_gpu=parsed.gpus),
        run_config=RunConfig(failure_config=FailureConfig(max_failures=RESTARTS)),
    )
    sys.exit(trainer.fit().return_value)


if __name__ == "__main__":
    main()
