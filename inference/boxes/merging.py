"""What tiles that overlap saw of one image -> which of it is one object. Pure.

A box that ends at a tile's inner rim is a piece of an object that goes on in the next tile. A piece gives way to the
whole object where another tile shows it. An object larger than the overlap is whole in no tile: its pieces are joined
where two tiles agree about what both of them see. What is left twice is suppressed. Pieces of tiles that do not
overlap stay apart: nothing says whether they are one object.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.boxes import oriented
from inference.boxes.nms import areas, between_all, intersections, overlaps, suppress
from inference.geometry import Placement

RIM_PIXELS = 4.0  # of the model's input; a box that ends that near a rim is cut by it
RIM_SHARE = 0.1  # of the box's side, or that near: the larger a box, the less exact. A whole one so near loses nothing
SAME = 0.5  # boxes of two tiles that share more than this are one object (SAHI's match_threshold)
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Views:
    """Rows of `boxes` (n, 4) xyxy in pixels of the image, `scores` (n,) and `classes` (n,) from several tiles.

    `tiles` (n,) numbers each row's tile, `windows` (n, 4) is the box of the image that this tile shows, `cut` (n,)
    tells whether the tile's inner rim cuts the box. Rows of different classes are never one object. `turned` (n, 5) are
    the boxes of an oriented detector, as `oriented.py` has them.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: Indices
    tiles: Indices
    windows: NDArray[np.float64]
    cut: NDArray[np.bool_]
    turned: NDArray[np.float64] | None = None

    def around(self, rows: Indices) -> NDArray[np.float64]:
        """The smallest box (4,) around the rows' boxes."""
        return np.concatenate((self.boxes[rows, :2].min(axis=0), self.boxes[rows, 2:].max(axis=0)))


def are_cut(boxes: NDArray, placement: Placement) -> NDArray[np.bool_]:
    """Which boxes (n, 4) of a tile end at a rim of it that is not the image's rim."""
    across, down = placement.scale
    near_x = np.maximum(RIM_PIXELS / across, RIM_SHARE * (boxes[:, 2] - boxes[:, 0]))
    near_y = np.maximum(RIM_PIXELS / down, RIM_SHARE * (boxes[:, 3] - boxes[:, 1]))
    left, top, right, bottom = placement.source
    touches = ((boxes[:, 0] <= left + near_x) & (left > 0), (boxes[:, 1] <= top + near_y) & (top > 0),
               (boxes[:, 2] >= right - near_x) & (right < placement.image_size[0]),
               (boxes[:, 3] >= bottom - near_y) & (bottom < placement.image_size[1]))
    return np.logical_or.reduce(touches)


def group(views: Views, iou: float, limit: int) -> list[Indices]:
    """The rows that make up each object, the object with the best score first, at most `limit`.

    Only boxes of different tiles take each other away, as those of one tile have been through the model's own
    suppression; above an IoU of 0.5 even where `iou` is higher, since two tiles' boxes of a small object differ more.
    """
    wholes, pieces = (np.flatnonzero(rows) for rows in (~views.cut, views.cut))
    groups = [np.array([row]) for row in wholes] + _join(views, pieces[~_shown(views, pieces, wholes)])
    if not groups:
        return []
    boxes, between = np.array([views.around(rows) for rows in groups]), between_all
    if views.turned is not None:
        boxes, between = turned_around(views.turned, views.scores, groups), oriented.overlaps
    scores = np.array([views.scores[rows].max() for rows in groups])
    first = np.array([rows[0] for rows in groups])
    kept = suppress(boxes, scores, views.classes[first], min(iou, SAME), tiles=views.tiles[first], limit=limit,
                    between=between)
    return [groups[number] for number in kept]


def turned_around(turned: NDArray[np.float64], scores: NDArray[np.float64],
                  groups: list[Indices]) -> NDArray[np.float64]:
    """The turned box (5,) of each group: around all of its rows, with the angle of the best one."""
    return np.array([oriented.around(turned[rows], turned[rows[np.argmax(scores[rows])], 4]) for rows in groups]
                    ).reshape(-1, 5)


def _shown(views: Views, pieces: Indices, wholes: Indices) -> NDArray[np.bool_]:
    """Which pieces lie mostly within the box of a whole object of the same class that another tile shows."""
    corners = views.boxes[wholes].T
    return np.array([bool(np.any((intersections(views.boxes[row], corners) > SAME * areas(views.boxes[row]))
                                 & _may_be_one(views, row, wholes))) for row in pieces], bool)


def _join(views: Views, pieces: Indices) -> list[Indices]:
    """Pieces of one object together, also over several tiles; each piece is in one group."""
    groups, free = [], pieces
    while len(free):
        members, free = [free[0]], free[1:]
        for member in members:  # grows on the way
            same = _agree(views, member, free)
            members.extend(free[same])
            free = free[~same]
        groups.append(np.array(members))
    return groups


def _agree(views: Views, row: np.intp, others: Indices) -> NDArray[np.bool_]:
    """With which other pieces a piece is one object: both boxes are the same in what both tiles see."""
    common = _clipped(views.windows[row], views.windows[others])
    here, there = _clipped(views.boxes[row], common), _clipped(views.boxes[others], common)
    return (overlaps(here.T, there.T) > SAME) & _may_be_one(views, row, others)


def _may_be_one(views: Views, row: np.intp, others: Indices) -> NDArray[np.bool_]:
    """Which others are of the row's class and from another tile."""
    return (views.classes[others] == views.classes[row]) & (views.tiles[others] != views.tiles[row])


def _clipped(boxes: NDArray, windows: NDArray) -> NDArray[np.float64]:
    """Boxes (n, 4) or (4,), as far as they lie within windows (n, 4); of no area where they do not."""
    return np.concatenate((np.maximum(boxes[..., :2], windows[..., :2]), np.minimum(boxes[..., 2:], windows[..., 2:])),
                          axis=-1)
