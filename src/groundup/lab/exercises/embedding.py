"""Exercises on tokens and positions."""

from groundup.lab.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
