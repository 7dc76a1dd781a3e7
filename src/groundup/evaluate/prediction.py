"""Which label belongs to a text? A classifier's answers, as probabilities."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from groundup.data.labelled import encode_texts, padded
from groundup.model.classifier import Classifier
from groundup.tokenizer.tokenizer import Tokenizer

# Tokens in one pass, padding included: enough to keep a processor busy.
BATCH_TOKENS = 8192


@torch.inference_mode()
def predict(
    classifier: Classifier, tokenizer: Tokenizer, texts: Sequence[str]
) -> Float[np.ndarray, "texts labels"]:
    """The probability of each label for each text. Of a text longer than the context, its beginning is
    read."""
    was_training = classifier.training
    classifier.eval()
    device = classifier.device
    encoded = encode_texts(tokenizer, texts, classifier.config.context_length).ids
    probabilities = np.empty((len(texts), len(classifier.head.weight)))
    for chosen in _of_similar_length([len(ids) for ids in encoded]):
        ids, lengths = padded([encoded[i] for i in chosen])
        logits = classifier(*(torch.from_numpy(part).to(device) for part in (ids, lengths)))
        probabilities[chosen] = logits.double().softmax(-1).cpu().numpy()
    classifier.train(was_training)
    return probabilities


def _of_similar_length(lengths: Sequence[int]) -> list[list[int]]:
    """All texts, by length, as many together as `BATCH_TOKENS` allow."""
    groups: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not groups or (len(groups[-1]) + 1) * lengths[i] > BATCH_TOKENS:
            groups.append([])
        groups[-1].append(i)
    return groups
