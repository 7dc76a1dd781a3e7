import torch


def ending_together(texts):
    longest = max(len(text) for text in texts)
    rows = torch.zeros(len(texts), longest, dtype=torch.long)
    for row, text in zip(rows, texts, strict=True):
        row[:] = text[0]
        row[longest - len(text) :] = torch.tensor(text)
    return rows
