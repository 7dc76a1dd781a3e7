import torch


def draw(probabilities, generators):
    noise = torch.stack(
        [torch.rand(probabilities.shape[1], generator=generator) for generator in generators]
    )
    return (probabilities.log() - (-noise.clamp(min=1e-20).log()).log()).argmax(-1)
