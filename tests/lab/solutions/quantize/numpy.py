import numpy as np
import torch


def quantize_step_by_step(weight, bits, group):
    x = weight.numpy().reshape(len(weight), -1, group)
    with np.errstate(invalid="ignore", divide="ignore"):
        if bits == 8:
            scale = np.abs(x).max(-1, keepdims=True) / 127
            back = np.clip(np.rint(x / scale), -127, 127) * scale
        else:
            low, high = (np.append(x, 0 * x[..., :1], -1), np.append(x, 0 * x[..., :1], -1))
            low, high = low.min(-1, keepdims=True), high.max(-1, keepdims=True)
            scale = torch.from_numpy((high - low) / 15).bfloat16().float().numpy()
            zero = np.rint(-low / scale)
            back = (np.clip(np.rint(x / scale + zero), 0, 15) - zero) * scale
    return torch.from_numpy(np.nan_to_num(back).astype(np.float32)).reshape(weight.shape)
