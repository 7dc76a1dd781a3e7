"""The first difference between what a part gave and what the reference gives."""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import torch

from groundup.language import N_

RELATIVE, ABSOLUTE = 1e-4, 1e-5
"""How far apart the same sum may lie when it is added up in another order."""


class Difference(NamedTuple):
    """What is wrong, as a text with fields (marked for translation), and what goes into them."""

    text: str
    fields: dict[str, Any]


def difference(ours: Any, theirs: Any, where: str = "") -> Difference | None:
    """None where both are the same. A list is as good as a tuple, and an array as a tensor."""
    place = where or "result"
    if torch.is_tensor(ours) or isinstance(ours, np.ndarray):
        return _of_arrays(ours, theirs, place)
    if torch.is_tensor(theirs) and theirs.ndim == 0:
        theirs = theirs.item()
    if isinstance(ours, bool | str | bytes | None):
        return (
            None if type(ours) is type(theirs) and ours == theirs else _values(ours, theirs, place)
        )
    if isinstance(ours, Real):
        return _of_numbers(ours, theirs, place)
    if isinstance(ours, Mapping):
        return _of_mappings(ours, theirs, where)
    assert isinstance(ours, Sequence), f"nothing compares {type(ours)}"
    return _of_sequences(ours, theirs, where)


def _values(ours: Any, theirs: Any, place: str) -> Difference:
    text = N_("{place} is {theirs}, and should be {ours}")
    return Difference(text, {"place": place, "theirs": shown(theirs), "ours": shown(ours)})


def shown(value: Any) -> str:
    """A value as it is told of: a tensor by its shape, what is long by its beginning."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if torch.is_tensor(value) and value.ndim:
        return f"Tensor{list(value.shape)}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _of_numbers(ours: Real, theirs: Any, place: str) -> Difference | None:
    if isinstance(theirs, bool) or not isinstance(theirs, Real):
        return _values(ours, theirs, place)
    close = math.isclose(ours, theirs, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    both_nan = ours != ours and theirs != theirs
    return None if close or both_nan else _values(ours, theirs, place)


def _of_arrays(ours: Any, theirs: Any, place: str) -> Difference | None:
    if not (torch.is_tensor(theirs) or isinstance(theirs, np.ndarray)):
        text = N_("{place} is {theirs}, and should be a tensor of shape {shape}")
        fields = {"place": place, "theirs": shown(theirs), "shape": list(ours.shape)}
        return Difference(text, fields)
    learns = torch.is_tensor(ours) and ours.requires_grad
    is_cut_off = learns and not torch.as_tensor(theirs).requires_grad
    ours, theirs = (torch.as_tensor(x).detach().cpu() for x in (ours, theirs))
    if ours.shape != theirs.shape:
        text = N_("{place} has the shape {theirs}, and should have {ours}")
        fields = {"place": place, "theirs": list(theirs.shape), "ours": list(ours.shape)}
        return Difference(text, fields)
    if _kind(ours) != _kind(theirs):
        text = N_("{place} holds {theirs}, and should hold {ours}")
        return Difference(text, {"place": place, "theirs": theirs.dtype, "ours": ours.dtype})
    wrong = ~torch.isclose(ours.double(), theirs.double(), RELATIVE, ABSOLUTE, equal_nan=True)
    if not wrong.any():
        return _cut_off(place) if is_cut_off else None
    if not ours.ndim:
        return _values(ours.item(), theirs.item(), place)
    first = tuple(wrong.nonzero()[0].tolist())
    fields = {
        "place": place, "index": list(first), "theirs": shown(theirs[first].item()),
        "ours": shown(ours[first].item()), "wrong": int(wrong.sum()), "all": wrong.numel(),
    }  # fmt: skip
    if theirs.isnan().any() and not ours.isnan().any():
        return Difference(
            N_("{place} is nan (not a number) at {index}, and should be {ours}"), fields
        )
    text = N_("{place} is {theirs} at {index}, and should be {ours} ({wrong} of {all} are wrong)")
    return Difference(text, fields)


def _cut_off(place: str) -> Difference:
    text = N_("the numbers of {place} are right, but no gradient comes back through them, and nothing before "
              "them would learn: without .item(), .tolist(), .detach() or numpy")  # fmt: skip
    return Difference(text, {"place": place})


def _kind(x: torch.Tensor) -> str:
    if x.dtype == torch.bool:
        return "bool"
    return "float" if x.is_floating_point() else "int"


def _of_mappings(ours: Mapping, theirs: Any, where: str) -> Difference | None:
    if not isinstance(theirs, Mapping):
        return _values(ours, theirs, where or "result")
    for key in ours:
        if key not in theirs:
            text = N_("{place} has no {key}, and should have {ours} there")
            fields = {"place": where or "result", "key": repr(key), "ours": shown(ours[key])}
            return Difference(text, fields)
        if found := difference(ours[key], theirs[key], f"{where or 'result'}[{key!r}]"):
            return found
    for key in theirs:
        if key not in ours:
            text = N_("{place} has {key}, and should not")
            return Difference(text, {"place": where or "result", "key": repr(key)})
    return None


def _of_sequences(ours: Sequence, theirs: Any, where: str) -> Difference | None:
    if not isinstance(theirs, Sequence) or isinstance(theirs, str | bytes):
        return _values(ours, theirs, where or "result")
    for i, (our, their) in enumerate(zip(ours, theirs, strict=False)):
        if found := difference(our, their, f"{where or 'result'}[{i}]"):
            return found
    if len(ours) != len(theirs):
        text = N_("{place} has {theirs} items, and should have {ours}")
        fields = {"place": where or "result", "theirs": len(theirs), "ours": len(ours)}
        return Difference(text, fields)
    return None
