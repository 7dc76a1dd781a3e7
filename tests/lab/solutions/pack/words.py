import numpy as np
import torch


def pack(codes):
    """The bits themselves, side by side."""
    numbers = codes.numpy()
    numbers = np.pad(numbers, ((0, 0), (0, numbers.shape[1] % 2)))
    bits = np.unpackbits(numbers[..., None], axis=-1, bitorder="little")[..., :4]
    packed = np.packbits(bits.reshape(len(numbers), -1, 8), axis=-1, bitorder="little")
    return torch.from_numpy(packed[..., 0])
