"""Exercises on pretraining."""

from groundup.lab.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
