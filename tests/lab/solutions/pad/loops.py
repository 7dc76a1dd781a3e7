import torch


def ending_together(texts):
    longest = 0
    for text in texts:
        if len(text) > longest:
            longest = len(text)
    rows = []
    for text in texts:
        row = list(text)
        while len(row) < longest:
            row.insert(0, text[0])
        rows.append(row)
    return torch.tensor(rows)
