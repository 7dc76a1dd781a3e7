"""A trial of a recipe: what each stage does, done on a sample, and reckoned up to the whole."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from math import log2
from pathlib import Path

import numpy as np
import torch

from groundup.data.windows import evaluation_windows
from groundup.evaluate.language import score_language
from groundup.generation.text import generate
from groundup.model.config import ModelConfig
from groundup.model.cost import parameter_count
from groundup.model.gpt import GPT
from groundup.recipe.directory import RunDirectory
from groundup.recipe.documents import WORLD, clean_documents, read_source, source_bytes
from groundup.recipe.encode import sources_of
from groundup.recipe.pretrain import model_config
from groundup.recipe.schema import Recipe
from groundup.sources.read import Piece
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.loop import start_run, train
from groundup.train.memory import AVERAGES
from groundup.train.objectives import next_token
from groundup.world.documents import spaced

SAMPLE_BYTES = 16 << 20
SAMPLE_SECONDS = 5.0
TRAINING_SECONDS = 5.0
# Clean text shrinks to about this share in Parquet with zstd.
PACKED = 0.45
