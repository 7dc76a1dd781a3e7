import torch

from groundup.model.positions import frequencies


def sinusoidal_positions(length, d_model, theta):
    # e^(ia) = cos a + i sin a: the sine is its imaginary part.
    angle = torch.einsum(
        "p,f->pf", torch.arange(length).double(), frequencies(d_model + d_model % 2, theta)
    )
    turned = torch.view_as_real(torch.polar(torch.ones_like(angle), angle))
    return turned.flip(-1).reshape(length, -1)[:, :d_model].float()
