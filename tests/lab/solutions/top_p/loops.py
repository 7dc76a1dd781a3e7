import torch


def keep_top_p(logits, p):
    result = torch.full_like(logits, -torch.inf)
    for row, kept in zip(logits, result, strict=True):
        probabilities, before = row.softmax(0), 0.0
        for token in row.argsort(descending=True).tolist():
            if before >= p:
                break
            kept[token] = row[token]
            before += probabilities[token].item()
    return result
