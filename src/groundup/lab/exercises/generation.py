"""Exercises on generation: how a token is chosen, and how a text comes of many."""

from groundup.lab.exercises import generation_choice, generation_loop

EXERCISES = (*generation_choice.EXERCISES, *generation_loop.EXERCISES)
