"""Exercises on pretraining: how wrong a model is, how it is moved, and the loop around that."""

from groundup.lab.exercises import pretraining_loss, pretraining_step, pretraining_update

EXERCISES = (
    *pretraining_loss.EXERCISES, *pretraining_update.EXERCISES, *pretraining_step.EXERCISES,
)  # fmt: skip
