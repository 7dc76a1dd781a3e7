import torch


def quantize_step_by_step(weight, bits, group):
    rows = []
    for row in weight:
        parts = [back(part, bits) for part in row.split(group)]
        rows.append(torch.cat(parts))
    return torch.stack(rows)


def back(numbers, bits):
    if not numbers.any():
        return torch.zeros_like(numbers)
    low, high = min(0.0, numbers.min().item()), max(0.0, numbers.max().item())
    if bits == 8:
        scale = max(-low, high) / 127
        return torch.clamp(torch.round(numbers / scale), -127, 127) * scale
    scale = torch.tensor((high - low) / 15).bfloat16().item()
    zero = round(-low / scale)
    codes = torch.clamp(torch.round(numbers / scale) + zero, 0, 15)
    return (codes - zero) * scale
