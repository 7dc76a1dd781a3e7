import torch


def in_answer(ids, assistant_id, end_id):
    mask = torch.zeros(ids.shape, dtype=torch.bool)
    for row, tokens in enumerate(ids.tolist()):
        speaking = False
        for t, token in enumerate(tokens):
            if token == assistant_id:
                speaking = True
            elif token == end_id:
                speaking = False
            mask[row, t] = speaking
    return mask
