"""Random numbers and colour for the augmentation of batches of pictures.

Pictures are floats in 0..1 of shape [n, 3, H, W], RGB.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

LUMA = (0.299, 0.587, 0.114)
# RGB to YIQ: a turn in the IQ plane is a turn of the hue that leaves the luma alone.
TO_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


class Draws:
    """Random numbers, one for each picture of a batch, all from one generator."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def uniform(self, count: int, low: float, high: float) -> Tensor:
        """Evenly distributed numbers, shape [count, 1, 1, 1]."""
        return torch.empty(count, 1, 1, 1).uniform_(low, high, generator=self.generator)

    def factor(self, count: int, low: float, high: float) -> Tensor:
        """Factors evenly distributed on a logarithmic scale, shape [count, 1, 1, 1]."""
        return self.uniform(count, math.log(low), math.log(high)).exp()

    def chosen(self, count: int, probability: float) -> Tensor:
        """True with the given probability, shape [count, 1, 1, 1]."""
        return self.uniform(count, 0, 1) < probability

    def grain(self, pictures: Tensor, low: float, high: float) -> Tensor:
        """Sensor noise of the pictures' shape; each picture gets its own strength."""
        noise = torch.randn(pictures.shape, generator=self.generator)
        return noise * self.uniform(len(pictures), low, high)


def luma(pictures: Tensor) -> Tensor:
    """Brightness [n, 1, H, W] of pictures [n, 3, H, W]."""
    return (pictures * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def mix(base: Tensor, picture: Tensor, amount: Tensor) -> Tensor:
    """`base` where amount is 0, `picture` where it is 1, beyond it above 1; shapes broadcast."""
    return base + (picture - base) * amount


def blur(pictures: Tensor) -> Tensor:
    """Pictures averaged over 3x3 pixels."""
    return functional.avg_pool2d(functional.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)


def turn_hue(pictures: Tensor, angle: Tensor) -> Tensor:
    """Pictures with the hue turned by an angle each, in radians, shape [n]."""
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    rows = [one, zero, zero, zero, angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos()]
    turn = torch.stack(rows, dim=1).view(-1, 3, 3)
    to_yiq = torch.tensor(TO_YIQ)
    matrix = torch.linalg.inv(to_yiq) @ turn @ to_yiq
    return torch.einsum("nij,njhw->nihw", matrix, pictures)
