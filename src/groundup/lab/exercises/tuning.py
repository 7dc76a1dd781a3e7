"""Exercises on tuning."""

from groundup.lab.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
