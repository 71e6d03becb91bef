"""Random changes of training pictures, a whole batch at once, all drawn from one torch generator.

Pictures are floats in 0..1 of shape [n, 3, H, W], RGB. Colour is changed hard on purpose: neither white
balance nor exposure may decide what a spot is, and grey pictures must work too.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from training.draws import Draws, blur, luma, mix, turn_hue


class Augmenter(Draws):
    """Draws random geometry, colour and sharpness for batches of pictures."""

    def __call__(self, pictures: Tensor, size: int) -> Tensor:
        """Pictures [n, 3, H, W] in 0..1 to changed pictures [n, 3, size, size] in 0..1."""
        changed = self._geometry(pictures, size)
        changed = self._colour(changed)
        return self._sharpness(changed).clamp(0, 1)

    def _geometry(self, pictures: Tensor, size: int) -> Tensor:
        """Turn, mirror, zoom, stretch and shift; the rim is filled with the mirrored picture."""
        shape = [len(pictures), 3, size, size]
        grid = functional.affine_grid(self._transforms(len(pictures)), shape, align_corners=False)
        return functional.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)

    def _transforms(self, count: int) -> Tensor:
        """Affine matrices [count, 2, 3] from output to input coordinates (-1..1)."""
        angle = self.uniform(count, -math.pi, math.pi).flatten()
        zoom = self.factor(count, 0.6, 1.3).flatten()
        aspect = self.factor(count, 0.8, 1.25).flatten()
        mirror = torch.where(self.chosen(count, 0.5).flatten(), -1.0, 1.0)
        across, down = zoom * aspect, zoom / aspect
        shift_x, shift_y = (self.uniform(count, -0.2, 0.2).flatten() for _ in range(2))
        first = torch.stack([angle.cos() * across * mirror, -angle.sin() * down, shift_x], dim=1)
        second = torch.stack([angle.sin() * across * mirror, angle.cos() * down, shift_y], dim=1)
        return torch.stack([first, second], dim=1)

    def _colour(self, pictures: Tensor) -> Tensor:
        """Hue and saturation, then white balance and exposure, then contrast; more than half in plain grey.

        Colour is learnt within a few epochs, the shape of spots is not.
        """
        count = len(pictures)
        turns = self.chosen(count, 0.5)
        turned = turn_hue(pictures, self.uniform(count, -0.3, 0.3).flatten())  # radians
        changed = torch.where(turns, turned, pictures)
        saturation = torch.where(self.chosen(count, 0.55), 0.0, self.uniform(count, 0.4, 1.5))
        changed = mix(luma(changed), changed, saturation)
        tinted = torch.where(self.chosen(count, 0.7), self._tint(changed), changed).clamp(0, 1)
        contrast = self.factor(count, 0.8, 1.3)
        return mix(tinted.mean((1, 2, 3), keepdim=True), tinted, contrast).clamp(0, 1)

    def _tint(self, pictures: Tensor) -> Tensor:
        """Warm or cool light, a little green or magenta, and exposure from 0.5 to 1.5."""
        count = len(pictures)
        warm, exposure = self.factor(count, 0.75, 1.33), self.factor(count, 0.5, 1.5)
        magenta = self.factor(count, 0.9, 1.11)
        return pictures * exposure * torch.cat([warm, magenta, 1 / warm], dim=1)

    def _sharpness(self, pictures: Tensor) -> Tensor:
        """Half blurred or sharpened on a scale of 3x3 pixels, a quarter with sensor noise."""
        count = len(pictures)
        amount = torch.where(self.chosen(count, 0.5), self.uniform(count, 0, 1.6), 1.0)
        changed = mix(blur(pictures), pictures, amount)
        noisy = changed + self.grain(changed, 0.005, 0.03)
        return torch.where(self.chosen(count, 0.25), noisy, changed)
