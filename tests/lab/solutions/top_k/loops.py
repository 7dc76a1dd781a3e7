def keep_top_k(logits, k):
    result = logits.clone()
    for row in result:
        for token in row.argsort(descending=True)[k:]:
            row[token] = float("-inf")
    return result
