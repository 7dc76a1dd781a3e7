"""Exercises on tokenizers."""

from groundup.lab.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
