"""Random changes of training pictures, a whole batch at once, all drawn from one torch generator.

Pictures are floats in 0..1 of shape [n, 3, H, W], RGB. Colour is changed hard on purpose: neither white
balance nor exposure may decide what a spot is, and grey pictures must work too.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

LUMA = (0.299, 0.587, 0.114)
# RGB to YIQ: a turn in the IQ plane is a turn of the hue that leaves the luma alone.
TO_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


class Augmenter:
    """Draws random geometry, colour and sharpness for batches of pictures."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, pictures: Tensor, size: int) -> Tensor:
        """Pictures [n, 3, H, W] in 0..1 to changed pictures [n, 3, size, size] in 0..1."""
        changed = self._geometry(pictures, size)
        changed = self._colour(changed)
        return self._sharpness(changed).clamp(0, 1)

    def _uniform(self, count: int, low: float, high: float) -> Tensor:
        """Evenly distributed numbers, shape [count, 1, 1, 1]."""
        return torch.empty(count, 1, 1, 1).uniform_(low, high, generator=self.generator)

    def _factor(self, count: int, low: float, high: float) -> Tensor:
        """Factors evenly distributed on a logarithmic scale, shape [count, 1, 1, 1]."""
        return self._uniform(count, math.log(low), math.log(high)).exp()

    def _chosen(self, count: int, probability: float) -> Tensor:
        """True with the given probability, shape [count, 1, 1, 1]."""
        return self._uniform(count, 0, 1) < probability

    def _geometry(self, pictures: Tensor, size: int) -> Tensor:
        """Turn, mirror, zoom, stretch and shift; the rim is filled with the mirrored picture."""
        shape = [len(pictures), 3, size, size]
        grid = functional.affine_grid(self._transforms(len(pictures)), shape, align_corners=False)
        return functional.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)

    def _transforms(self, count: int) -> Tensor:
        """Affine matrices [count, 2, 3] from output to input coordinates (-1..1)."""
        angle = self._uniform(count, -math.pi, math.pi).flatten()
        zoom = self._factor(count, 0.6, 1.3).flatten()
        aspect = self._factor(count, 0.8, 1.25).flatten()
        mirror = torch.where(self._chosen(count, 0.5).flatten(), -1.0, 1.0)
        across, down = zoom * aspect, zoom / aspect
        shift_x, shift_y = (self._uniform(count, -0.2, 0.2).flatten() for _ in range(2))
        first = torch.stack([angle.cos() * across * mirror, -angle.sin() * down, shift_x], dim=1)
        second = torch.stack([angle.sin() * across * mirror, angle.cos() * down, shift_y], dim=1)
        return torch.stack([first, second], dim=1)

    def _colour(self, pictures: Tensor) -> Tensor:
        """Hue and saturation, then white balance and exposure, then contrast; more than half in plain grey.

        Colour is learnt within a few epochs, the shape of spots is not.
        """
        count = len(pictures)
        changed = torch.where(self._chosen(count, 0.5), self._turn_hue(pictures), pictures)
        saturation = torch.where(self._chosen(count, 0.55), 0.0, self._uniform(count, 0.4, 1.5))
        changed = mix(luma(changed), changed, saturation)
        tinted = torch.where(self._chosen(count, 0.7), self._tint(changed), changed).clamp(0, 1)
        contrast = self._factor(count, 0.8, 1.3)
        return mix(tinted.mean((1, 2, 3), keepdim=True), tinted, contrast).clamp(0, 1)

    def _turn_hue(self, pictures: Tensor) -> Tensor:
        """Turns the hue by up to 0.3 radians each way."""
        angle = self._uniform(len(pictures), -0.3, 0.3).flatten()
        zero, one = torch.zeros_like(angle), torch.ones_like(angle)
        rows = [one, zero, zero, zero, angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos()]
        turn = torch.stack(rows, dim=1).view(-1, 3, 3)
        to_yiq = torch.tensor(TO_YIQ)
        matrix = torch.linalg.inv(to_yiq) @ turn @ to_yiq
        return torch.einsum("nij,njhw->nihw", matrix, pictures)

    def _tint(self, pictures: Tensor) -> Tensor:
        """Warm or cool light, a little green or magenta, and exposure from 0.5 to 1.5."""
        count = len(pictures)
        warm, exposure = self._factor(count, 0.75, 1.33), self._factor(count, 0.5, 1.5)
        magenta = self._factor(count, 0.9, 1.11)
        return pictures * exposure * torch.cat([warm, magenta, 1 / warm], dim=1)

    def _sharpness(self, pictures: Tensor) -> Tensor:
        """Half blurred or sharpened on a scale of 3x3 pixels, a quarter with sensor noise."""
        count = len(pictures)
        blurred = functional.avg_pool2d(functional.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
        amount = torch.where(self._chosen(count, 0.5), self._uniform(count, 0, 1.6), 1.0)
        changed = mix(blurred, pictures, amount)
        noise = torch.randn(changed.shape, generator=self.generator) * self._uniform(count, 0.005, 0.03)
        return torch.where(self._chosen(count, 0.25), changed + noise, changed)


def luma(pictures: Tensor) -> Tensor:
    """Brightness [n, 1, H, W] of pictures [n, 3, H, W]."""
    return (pictures * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def mix(base: Tensor, picture: Tensor, amount: Tensor) -> Tensor:
    """`base` where amount is 0, `picture` where it is 1, beyond it above 1; shapes broadcast."""
    return base + (picture - base) * amount
