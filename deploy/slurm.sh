#!/bin/bash
# A training on whole nodes of a Slurm cluster. After the script stands a command of groundup's, as it would be
# on one machine (pretrain, finetune or run):
#   sbatch --nodes 8 --gpus-per-node 8 deploy/slurm.sh pretrain --data corpus --out runs/corpus
# Send it from a folder that all nodes see, with the environment active in which groundup is installed there.
#SBATCH --job-name=groundup
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --mem=0
#SBATCH --requeue
#SBATCH --open-mode=append
# Five minutes before the time is up all processes are told to save and to stop; four are theirs to do so.
#SBATCH --signal=TERM@300
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=240
# Where a process tells its status if starting it again would not help: stopped, or a wrong command.
export GROUNDUP_STATUS_FILE=$PWD/slurm-$SLURM_JOB_ID.status
rm -f "$GROUNDUP_STATUS_FILE"

# A job that comes back from the queue goes on from the newest checkpoint; `run` does so unasked.
if ((${SLURM_RESTART_COUNT:-0} > 0)) && [[ $1 != run ]]; then set -- "$@" --resume; fi

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# One node is done a little before another, which may still be saving: it is not to be killed.
srun --cpu-bind=none --kill-on-bad-exit=0 torchrun \
    --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node "${SLURM_GPUS_ON_NODE:-1}" --max-restarts 3 \
    --rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d --rdzv-endpoint "$first:$((20000 + SLURM_JOB_ID % 10000))" \
    -m groundup.cli.main "$@"
status=$?

if [[ -f $GROUNDUP_STATUS_FILE ]]; then
    status=$(<"$GROUNDUP_STATUS_FILE")
    rm "$GROUNDUP_STATUS_FILE"
fi
if ((status == 130)); then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$status"
