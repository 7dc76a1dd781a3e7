import math


def attention_weights(q, k, mask, scale=None, softcap=math.inf):
    """Softmax written out; a large negative number does for −∞ as its exp is 0."""
    if scale is None:
        scale = q.shape[-1] ** -0.5
    scores = (q[..., :, None, :] * k[..., None, :, :]).sum(-1) * scale
    if softcap != math.inf:
        scores = softcap * (scores / softcap).tanh()
    scores = scores - scores.amax(-1, keepdim=True)
    powers = scores.exp() * mask
    return powers / powers.sum(-1, keepdim=True)
