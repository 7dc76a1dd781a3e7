"""Several processes on this machine, started by torch's own launcher as torchrun starts them.

When one of them ends, all are started again, and go on from the newest checkpoint.
"""

import logging
import os
import sys
import tempfile
from pathlib import Path

from groundup.errors import GroundupError

RESTARTS = 3
# Where a process says how it ended, if starting it again would not help.
STATUS = "GROUNDUP_STATUS_FILE"


def launch(processes: int) -> None:
    """Run this very command in so many processes, until they end; raises `SystemExit` with their status.
    Within one of them, and for a single process, it does nothing."""
    if processes == 1 or "TORCHELASTIC_RUN_ID" in os.environ:
        return
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[STATUS] = str(Path(folder) / "status")
        config = LaunchConfig(
            run_id=Path(folder).name, min_nodes=1, max_nodes=1, nproc_per_node=processes, rdzv_backend="c10d",
            rdzv_endpoint="localhost:0", max_restarts=RESTARTS, monitor_interval=0.5,
        )  # fmt: skip
        command = ["-m", "groundup.cli.main", *sys.argv[1:]]
        try:
            elastic_launch(config, sys.executable)(*command)
        except ChildFailedError:
            raise GroundupError(
                f"one of the {processes} processes ended, after {RESTARTS} new starts", "parallel",
                "the checkpoints are kept: go on with the same command, and --resume",
            ) from None  # fmt: skip
        except SignalException:
            sys.exit(130)
        status = Path(os.environ[STATUS])
        sys.exit(int(status.read_text()) if status.is_file() else 0)
