"""What it means to prefer one answer to another: five losses, from DPO to SimPO.

y⁺ is the chosen answer to a prompt x, y⁻ the rejected one, π the model and π₀ the reference, which is
the model before the training. Each function takes one number for each answer of a batch of pairs and
returns the mean loss over the pairs; `tune/prefer.py` says which number:

    log-ratio       r(y) = log π(y|x) − log π₀(y|x), in nats, over the whole answer  (dpo, ipo, kto)
    mean log p      m(y) = log π(y|x) / |y|, in nats per token                       (orpo, simpo)
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

OfEach = Float[Tensor, " pairs"]
Loss = Float[Tensor, ""]


# lab: dpo
def dpo(chosen: OfEach, rejected: OfEach, beta: float, label_smoothing: float = 0.0) -> Loss:
    """−log σ(β (r(y⁺) − r(y⁻))): direct preference optimisation (Rafailov et al. 2023, equation 7).

    With `label_smoothing` ε, −(1 − ε) log σ(h) − ε log σ(−h): a share ε of the pairs is taken to be
    the wrong way round (conservative DPO, Mitchell 2023). It begins at ln 2.
    """
    margin = beta * (chosen - rejected)
    right, wrong = F.logsigmoid(margin), F.logsigmoid(-margin)
    return -((1 - label_smoothing) * right + label_smoothing * wrong).mean()


def ipo(chosen: OfEach, rejected: OfEach, beta: float) -> Loss:
    """(r(y⁺) − r(y⁻) − 1/(2β))²: identity preference optimisation (Azar et al. 2023, equation 17; β is
    its τ).

    The margin has an aim, so that pairs which are easy to tell apart do not drive the model on and on.
    It begins at 1/(4β²).
    """
    return (chosen - rejected - 1 / (2 * beta)).square().mean()


def kto(chosen: OfEach, rejected: OfEach, beta: float) -> Loss:
    """½ (1 − σ(β (r(y⁺) − z⁻))) + ½ (1 − σ(β (z⁺ − r(y⁻)))): Kahneman–Tversky optimisation (Ethayarajh
    et al. 2024, equation 8).

    Each answer is good or bad by itself, measured from a point z that moves with the model: how far
    it has gone from the reference, max(0, mean r) over the batch, without a gradient. As the batch
    holds pairs, the chosen answers are measured from the rejected ones and the other way round. It
    begins at ½.
    """
    from_rejected = rejected.detach().mean().clamp(min=0)
    from_chosen = chosen.detach().mean().clamp(min=0)
    good = torch.sigmoid(beta * (chosen - from_rejected))
    bad = torch.sigmoid(beta * (from_chosen - rejected))
    return 1 - (good.mean() + bad.mean()) / 2


def orpo(chosen: OfEach, rejected: OfEach, beta: float) -> Loss:
    """−m(y⁺) − β log σ(log odds(y⁺) − log odds(y⁻)), odds(y) = p / (1 − p) with p = e^m(y): odds-ratio
    preference optimisation (Hong et al. 2024, equations 6 and 7; β is its λ).

    Learns to say the chosen answer and to prefer it in one, so it needs no reference.
    """
    odds = [mean - torch.log(-torch.expm1(mean)) for mean in (chosen, rejected)]
    return -chosen.mean() - beta * F.logsigmoid(odds[0] - odds[1]).mean()


def simpo(chosen: OfEach, rejected: OfEach, beta: float, target_margin: float) -> Loss:
    """−log σ(β m(y⁺) − β m(y⁻) − γ): simple preference optimisation (Meng et al. 2024, equation 6), γ
    being the `target_margin`.

    What is made likelier is what decoding looks at, log p per token: no reference, and no gain from
    length.
    """
    return -F.logsigmoid(beta * (chosen - rejected) - target_margin).mean()
