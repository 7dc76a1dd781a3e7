import torch


def lowest(scores, count):
    mask = torch.zeros(scores.shape, dtype=torch.bool)
    for row, numbers in enumerate(scores.tolist()):
        for place in sorted(range(len(numbers)), key=numbers.__getitem__)[:count]:
            mask[row, place] = True
    return mask
