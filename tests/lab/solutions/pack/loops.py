import torch


def pack(codes):
    rows = []
    for row in codes.tolist():
        row = [*row, 0]
        rows.append([row[i] | row[i + 1] << 4 for i in range(0, len(row) - 1, 2)])
    return torch.tensor(rows, dtype=torch.uint8)
