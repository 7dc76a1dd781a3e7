"""What the tests of evaluation share: a tokenizer that begins texts, and sums written out."""

import pytest

from groundup.tokenizer.framing import Framing
from groundup.tokenizer.tokenizer import Tokenizer


@pytest.fixture
def beginning(tokenizer: Tokenizer) -> Tokenizer:
    """A tokenizer whose model begins its texts with a token, as Llama does."""
    begin = tokenizer.special_tokens["<|system|>"]
    framing = Framing(begin_ids=(begin,))
    return Tokenizer(tokenizer.vocabulary, tokenizer.special_tokens, framing=framing)
