"""What the networks are built of."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    """Convolution and batch norm; the exporter folds the second into the first."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: [n, i, H, W] to [n, o, H/stride, W/stride]."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = conv_norm(inputs, outputs, 3, stride)
        self.second = conv_norm(outputs, outputs, 3, 1)
        self.shortcut = conv_norm(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Features [n, i, H, W] to [n, o, H/stride, W/stride]."""
        residual = self.second(torch.relu(self.first(features)))
        return torch.relu(residual + self.shortcut(features))
