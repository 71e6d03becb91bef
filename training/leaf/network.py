"""The network: a small residual classifier for pictures of a leaf."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.blocks import ResidualBlock, conv_norm

STEM = 24  # channels at half the input's side
# Channels in, channels out and stride of each block.
BLOCKS = ((24, 48, 2), (48, 48, 1), (48, 96, 2), (96, 96, 1), (96, 160, 2))


class LeafNetwork(nn.Module):
    """Normalised pictures [n, 3, S, S] to logits [n, classes].

    The mean says how much of the leaf is ill, the maximum whether a single spot is: both are handed to the
    last layer.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = conv_norm(3, STEM, 3, 2)
        self.stages = nn.Sequential(*(ResidualBlock(*block) for block in BLOCKS))
        self.dropout = nn.Dropout(0.2)
        self.last = nn.Linear(2 * BLOCKS[-1][1], classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures [n, 3, S, S] to logits [n, classes]."""
        features = self.stages(torch.relu(self.stem(pictures)))
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        logits: Tensor = self.last(self.dropout(pooled))
        return logits


@torch.no_grad()
def divide_logits(network: LeafNetwork, temperature: float) -> None:
    """Folds the temperature into the last layer, so that the exported graph gives calibrated logits."""
    network.last.weight.div_(temperature)
    network.last.bias.div_(temperature)
