"""Exercises on models at work."""

from groundup.lab.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
