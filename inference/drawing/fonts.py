"""Fonts for texts in any script: the one of PUNNET_FONT, what the system has for the letters, or Pillow's own."""

import logging
import subprocess
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont
TIMES = "\N{MULTIPLICATION SIGN}"
NONE = ""
NO_LETTER = "\U0010ffff"  # no font has it, so it looks as every letter does that a font lacks
FC_MATCH_S = 5.0  # the first call on a machine may make the cache of all fonts
log = logging.getLogger(__name__)


class Fonts:
    """`file` is the operator's choice, if there is one."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = str(file) if file else None

    def of(self, text: str, size: int) -> tuple[Font, str]:
        """A font of this size that has the text's letters, and the text; as escapes where no font has them."""
        letters = frozenset(letter for letter in text if not letter.isascii())
        file = _file_for(letters, self._file)
        if file == NONE:
            return _font(None, size), text.replace(TIMES, "x").encode("ascii", "backslashreplace").decode()
        return _font(file, size), text


@lru_cache(maxsize=512)
def _file_for(letters: frozenset[str], chosen: str | None) -> str | None:
    """The first font that has all letters; None is Pillow's own."""
    for file in (chosen, _of_the_system(letters)):
        if file and _has(file, letters):
            return file
    if _has(None, letters):
        return None
    log.warning("no font has the letters of %s: install one, such as Debian's fonts-noto, or set PUNNET_FONT",
                ascii("".join(sorted(letters))))
    return NONE


def _has(file: str | None, letters: frozenset[str]) -> bool:
    try:
        font = _font(file, 16)
    except OSError as error:
        log.warning("the font %s cannot be used: %s", file, error)
        return False
    lacking = bytes(font.getmask(NO_LETTER))
    return all(bytes(font.getmask(letter)) != lacking for letter in letters)


def _of_the_system(letters: frozenset[str]) -> str:
    """What fontconfig finds for the letters; "" without fontconfig."""
    wanted = " ".join(f"{ord(letter):x}" for letter in sorted(letters)) or "20-7e"
    try:
        done = subprocess.run(["fc-match", "--format=%{file}", f"sans-serif:charset={wanted}"],
                              capture_output=True, text=True, timeout=FC_MATCH_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


@lru_cache(maxsize=64)
def _font(file: str | None, size: int) -> Font:
    if file is not None:
        return ImageFont.truetype(file, size)
    font = ImageFont.load_default(size)
    assert isinstance(font, Font), "Pillow is built with FreeType"
    return font
