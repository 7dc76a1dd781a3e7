"""The first difference between two results is found, and the same in another form is no difference."""

import numpy as np
import pytest
import torch

from groundup.lab.compare import difference


def told(ours: object, theirs: object) -> str:
    found = difference(ours, theirs)
    assert found is not None
    return found.text.format(**found.fields)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0], dtype=torch.float64)),
        (torch.tensor([1, 2]), np.array([1, 2], dtype=np.int32)),
        (torch.tensor([1.0]), torch.tensor([1.0 + 1e-6], requires_grad=True)),
        ([1, (2, 3)], (1, [2, 3])),
        ({"a": 1, "b": 2.0}, {"b": 2.0, "a": 1}),
        (0.1 + 0.2, 0.3),
        (2.0, torch.tensor(2.0)),
        ("text", "text"),
        (None, None),
    ],
)
def test_the_same_in_another_form_is_no_difference(ours: object, theirs: object):
    assert difference(ours, theirs) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "text"),
    [
        (torch.tensor([[1.0, 2], [3, 4]]), torch.tensor([[1.0, 2], [3.5, 5]]),
         "result is 3.5 at [1, 0], and should be 3 (2 of 4 are wrong)"),
        (torch.ones(2, 3), torch.ones(3, 2), "result has the shape [3, 2], and should have [2, 3]"),
        (torch.ones(2), torch.tensor([1, float("nan")]),
         "result is nan (not a number) at [1], and should be 1"),
        (torch.ones(2), [1.0, 1.0], "result is [1.0, 1.0], and should be a tensor of shape [2]"),
        (torch.tensor([True]), torch.tensor([1.0]), "result holds torch.float32, and should hold torch.bool"),
        ([1, [2, 3]], [1, [2, 4]], "result[1][1] is 4, and should be 3"),
        ([1, 2], [1, 2, 3], "result has 3 items, and should have 2"),
        ({"a": 1}, {"a": 1, "b": 2}, "result has 'b', and should not"),
        ({"a": 1}, {}, "result has no 'a', and should have 1 there"),
        ({"a": 1}, [1], "result is [1], and should be {'a': 1}"),
        (1, True, "result is True, and should be 1"),
        (True, 1, "result is 1, and should be True"),
        ("a", b"a", "result is b'a', and should be 'a'"),
        (1.0, "1", "result is '1', and should be 1"),
        ([1], "1", "result is '1', and should be [1]"),
    ],
)  # fmt: skip
def test_the_first_difference_is_told(ours: object, theirs: object, text: str):
    assert told(ours, theirs) == text
