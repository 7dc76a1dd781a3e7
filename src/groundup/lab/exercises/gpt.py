"""Exercises on the whole model."""

from groundup.lab.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
