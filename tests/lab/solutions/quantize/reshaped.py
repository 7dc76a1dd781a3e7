import torch


def quantize_step_by_step(weight, bits, group):
    x = weight.reshape(-1, group)
    if bits == 8:
        scale, zero, lowest, highest = x.abs().amax(1, keepdim=True) / 127, 0, -127, 127
    else:
        low = torch.minimum(x.amin(1, keepdim=True), torch.zeros(1))
        high = torch.maximum(x.amax(1, keepdim=True), torch.zeros(1))
        scale = ((high - low) / 15).to(torch.bfloat16).float()
        zero, lowest, highest = torch.round(-low / scale.clamp(min=1e-30)), 0, 15
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    codes = (torch.round(x / scale + zero)).clip(lowest, highest)
    return ((codes - zero) * scale).reshape(weight.shape)
