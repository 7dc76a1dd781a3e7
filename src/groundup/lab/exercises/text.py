"""Exercises on texts."""

from groundup.lab.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
