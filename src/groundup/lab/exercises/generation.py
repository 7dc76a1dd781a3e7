"""Exercises on generation."""

from groundup.lab.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
