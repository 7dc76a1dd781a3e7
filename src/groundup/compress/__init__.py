"""Weights in, smaller weights out.

In: a model directory (or whatever `groundup.load` takes), and text to calibrate on. Out: a model directory
that loads wherever ours do, and what it costs: bytes and bits per byte before and after.

Read in this order: `groundup.model.quantized` (what a matrix in few bits is, and how it is multiplied),
`rounding.py` (GPTQ: rounding that corrects its own errors), `calibration.py` (the text: one part to round
by, the other to measure on), `quantize.py` (a whole model: rounded in one pass, written, measured).
"""
