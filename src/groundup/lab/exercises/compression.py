"""Exercises on compression."""

from groundup.lab.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
