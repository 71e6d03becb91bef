"""The network: a residual encoder, a light decoder and one head that points at the middles of strawberries.

Nothing in it looks at the picture as a whole, so what is found at a place depends on its surroundings only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.blocks import ResidualBlock, conv_norm
from training.fruit.frames import SIZE

STRIDE = 4  # pixels of the input for one cell of the maps
STEM = 24  # channels at half the input's side
# Channels in, channels out and stride of each block, by stage: 1/4, 1/8, 1/16 and 1/32 of the side.
STAGES = (
    ((24, 32, 2),),
    ((32, 64, 2), (64, 64, 1)),
    ((64, 96, 2), (96, 96, 1)),
    ((96, 128, 2),),
)
NECK = 48  # channels of the decoder
TYPICAL_SIDE = 12.0  # pixels from the middle of a strawberry to a side of its box, where training begins
RARE = -4.0  # logit of a strawberry where training begins: 2 % a cell
DETECTIONS = 100  # rows of the result


class FruitNetwork(nn.Module):
    """Pictures [n, 3, H, W] in 0..1 to heat (logits) [n, 1, H/4, W/4] and boxes [n, 4, H/4, W/4] in pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_norm(3, STEM, 3, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(*block) for block in blocks)) for blocks in STAGES
        )
        self.sides = nn.ModuleList(conv_norm(blocks[-1][1], NECK, 1, 1) for blocks in STAGES)
        self.smooth = nn.ModuleList(conv_norm(NECK, NECK, 3, 1) for _ in STAGES[1:])
        self.head = nn.Conv2d(NECK, 5, 1)
        assert self.head.bias is not None
        with torch.no_grad():
            self.head.bias.copy_(torch.tensor([RARE, 0, 0, 0, 0]))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures [n, 3, H, W] to heat [n, 1, H/4, W/4] and boxes [n, 4, H/4, W/4]."""
        output = self.head(self._decode(self._encode(pictures * 4 - 2)))
        return output[:, :1], to_boxes(output[:, 1:])

    def _encode(self, pictures: Tensor) -> list[Tensor]:
        """Features at 1/4, 1/8, 1/16 and 1/32 of the side, NECK channels each."""
        features, levels = torch.relu(self.stem(pictures)), []
        for stage, side in zip(self.stages, self.sides, strict=True):
            features = stage(features)
            levels.append(side(features))
        return levels

    def _decode(self, levels: list[Tensor]) -> Tensor:
        """Adds the coarse levels to the finer ones: [n, NECK, H/4, W/4]."""
        merged = levels[-1]
        for level, smooth in zip(levels[-2::-1], self.smooth, strict=True):
            wider = functional.interpolate(merged, scale_factor=2.0, mode="nearest")
            merged = torch.relu(smooth(torch.relu(wider + level)))
        return merged


def cell_centres(height: int, width: int) -> Tensor:
    """Where the cells' middles are, x and y in pixels of the input, shape [2, height, width]."""
    down, across = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (torch.stack([across, down]).float() + 0.5) * STRIDE


def to_boxes(sides: Tensor) -> Tensor:
    """Logarithms of the distances to left, top, right, bottom to boxes, both [n, 4, H/4, W/4].

    The logarithm is bounded (0.6 to 240 pixels), so that no step can make the boxes endless.
    """
    distances = sides.clamp(-3, 3).exp() * TYPICAL_SIDE
    centres = cell_centres(sides.shape[2], sides.shape[3])
    return torch.cat([centres - distances[:, :2], centres + distances[:, 2:]], dim=1)


def agree(boxes: Tensor, scores: Tensor) -> Tensor:
    """Boxes [n, 4, h, w] as each cell and its eight neighbours see them on average, weighted by scores [n, 1, h, w].

    A neighbour of a peak has learnt the same box; together they are nearer to it than the peak alone.
    """
    weights = functional.avg_pool2d(scores, 3, 1, 1).clamp(min=1e-12)  # never nothing divided by nothing
    return functional.avg_pool2d(boxes * scores, 3, 1, 1) / weights


class Detector(nn.Module):
    """The network with the picking of peaks: pictures [n, 3, SIZE, SIZE] to rows [n, DETECTIONS, 6].

    A row is xmin, ymin, xmax, ymax in pixels, score and class; the best come first.
    """

    def __init__(self, network: FruitNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures [n, 3, SIZE, SIZE] to rows [n, DETECTIONS, 6]."""
        heat, boxes = self.network(pictures)
        scores = torch.sigmoid(heat)
        peaks = torch.where(heat == functional.max_pool2d(heat, 3, 1, 1), scores, torch.zeros_like(scores))
        best, places = peaks.flatten(1).topk(DETECTIONS, dim=1)
        agreed = agree(boxes, scores).clamp(0, SIZE)
        rows = agreed.flatten(2).gather(2, places[:, None].expand(-1, 4, -1))
        return torch.cat([rows.transpose(1, 2), best[..., None], torch.zeros_like(best)[..., None]], dim=2)
