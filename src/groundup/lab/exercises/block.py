"""Exercises on the parts of a block."""

from groundup.lab.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
