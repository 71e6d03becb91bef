"""The facts that every format's header tells."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Header:
    """Width and height are in pixels as they are stored, `orientation` is EXIF's, 1 to 8.

    `mode` is Pillow's name for what a decoder makes of a pixel. `coding` is a word for a way of coding that takes
    another time than the format's usual one, `pieces` how many strips or tiles are decoded one by one, `scans` how
    many passes over the pixels.
    """

    format: str
    width: int
    height: int
    mode: str = "RGB"
    orientation: int = 1
    coding: str = ""
    pieces: int = 1
    progressive: bool = False
    scans: int = 1
