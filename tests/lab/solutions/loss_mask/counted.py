import torch


def in_answer(ids, assistant_id, end_id):
    """By numbered turns: a turn ends with its end token; True once the assistant's mark was in it."""
    is_end = (ids == end_id).long()
    turn = is_end.cumsum(1)
    marked = (ids == assistant_id) & (is_end == 0)
    spoken = [
        torch.stack([marks[: t + 1][turns[: t + 1] == turns[t]].any() for t in range(len(turns))])
        for marks, turns in zip(marked, turn, strict=True)
    ]
    return torch.stack(spoken)
