import torch


def in_answer(ids, assistant_id, end_id):
    def row(tokens):
        marks = [t for t in tokens if t in (assistant_id, end_id)]
        return bool(marks) and marks[-1] == assistant_id

    return torch.tensor(
        [[row(tokens[: t + 1]) for t in range(len(tokens))] for tokens in ids.tolist()]
    )
