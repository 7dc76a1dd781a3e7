import torch


def pack(codes):
    if codes.shape[1] % 2:
        codes = torch.cat([codes, torch.zeros_like(codes[:, :1])], dim=1)
    return codes[:, 0::2] + 16 * codes[:, 1::2]
