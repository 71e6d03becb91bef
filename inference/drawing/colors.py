"""Colours that differ from each other and from the image, also for those who cannot tell red from green."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Color = tuple[int, int, int]
# The first seven are Okabe's and Ito's for the colour-blind (https://jfly.uni-koeln.de/color/), a little brighter; the
# others are Tol's "light" and "vibrant" ones (https://sronpersonalpages.nl/~pault/) that differ from them.
PALETTE: tuple[Color, ...] = (
    (240, 228, 66), (86, 180, 233), (230, 120, 0), (0, 170, 130), (225, 130, 190), (30, 90, 220), (215, 60, 30),
    (238, 136, 102), (187, 204, 51), (153, 221, 255), (51, 187, 238), (170, 68, 153), (136, 34, 85))
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
SAMPLES = 32  # the image is looked at in this many rows and columns
FAR = 0.45  # in Oklab: colours that are farther apart are not easier to tell
THIN = (2, 1, 1)  # times the parts of Oklab: of thin lines an eye sees the lightness better than the hue
CLOSE = 10  # percent of the image that a colour may be closer to


def colors_of(labels: Iterable[str], image: Image.Image, size: tuple[int, int] | None = None) -> dict[str, Color]:
    """A colour per label: each in turn takes the one that is farthest from the image and from those taken. Of a canvas
    `size` is the part that is looked at, from its upper left corner on."""
    palette, taken = _lab(np.array(PALETTE, np.float64)), list[int]()
    seen = _lab(_sampled(image, size or image.size))
    contrast = np.percentile(np.linalg.norm((palette[:, None] - seen[None]) * THIN, axis=2), CLOSE, axis=1)
    colors = {}
    for label in sorted(set(labels)):
        if len(taken) == len(PALETTE):
            taken.clear()
        taken.append(_farthest(palette, contrast, taken))
        colors[label] = PALETTE[taken[-1]]
    return colors


def readable_on(color: Color) -> Color:
    """The colour of text on this one, and of a halo around it: black or white, whichever contrasts more; at a luminance
    of 0.179 both contrast alike. Of a line and its halo one is then seen on a dark ground, the other on a light one."""
    return BLACK if _luminance(color) > 0.179 else WHITE


def _luminance(color: Color) -> float:
    """WCAG 2.2's relative luminance."""
    red, green, blue = (part / 3294.6 if part <= 10 else ((part + 14.025) / 269.025) ** 2.4 for part in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _farthest(palette: NDArray, contrast: NDArray, taken: Sequence[int]) -> int:
    apart = np.full(len(palette), np.inf)
    for number in taken:
        apart = np.minimum(apart, np.linalg.norm(palette - palette[number], axis=1))
    apart[list(taken)] = -np.inf
    return int(np.argmax(np.minimum(apart, FAR) + contrast))


def _sampled(image: Image.Image, size: tuple[int, int]) -> NDArray[np.float64]:
    small = image.resize((SAMPLES, SAMPLES), Image.Resampling.NEAREST, box=(0, 0, *size))
    return np.asarray(small, np.float64).reshape(-1, 3)


def _lab(colors: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB 0..255 (n, 3) -> Oklab (Ottosson 2020, https://bottosson.github.io/posts/oklab/), in which distances are
    about what people see."""
    parts = colors / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    cones = np.cbrt(linear @ np.array([[0.4122214708, 0.2119034982, 0.0883024619],
                                       [0.5363325363, 0.6806995451, 0.2817188376],
                                       [0.0514459929, 0.1073969566, 0.6299787005]]))
    return cones @ np.array([[0.2104542553, 1.9779984951, 0.0259040371],
                             [0.7936177850, -2.4285922050, 0.7827717662],
                             [-0.0040720468, 0.4505937099, -0.8086757660]])
