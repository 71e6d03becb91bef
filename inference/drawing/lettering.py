"""The texts of one drawing, made of words: a label, a score. The letters of words that come again are made once."""

from collections.abc import Sequence
from math import ceil

from PIL import Image, ImageDraw

from inference.drawing.colors import Color
from inference.drawing.fonts import Font, Fonts

Words = Sequence[str]  # stand beside each other; the first one decides the font


class Lettering:
    """Measures and writes; keeps what it made, so it is for one drawing."""

    def __init__(self, fonts: Fonts) -> None:
        self._fonts = fonts
        self._first: dict[tuple[str, int], tuple[Font, str]] = {}
        self._widths: dict[tuple[Font, str], int] = {}
        self._masks: dict[tuple[Font, str], Image.Image] = {}

    def width(self, words: Words, size: int) -> int:
        """In pixels, of words in a font of this size."""
        font, texts = self._texts(words, size)
        return sum(self._width(font, text) for text in texts)

    def write(self, image: Image.Image, left: int, middle: int, words: Words, size: int, color: Color) -> None:
        """Words around the row `middle`, from the column `left` on."""
        font, texts = self._texts(words, size)
        for text in texts:
            image.paste(color, (left - size // 4, middle - size * 3 // 4), self._mask(font, text, size))
            left += self._width(font, text)

    def _texts(self, words: Words, size: int) -> tuple[Font, list[str]]:
        if (found := self._first.get((words[0], size))) is None:
            found = self._first[words[0], size] = self._fonts.of(words[0], size)
        font, text = found
        return font, [text, *words[1:]]

    def _width(self, font: Font, text: str) -> int:
        if (width := self._widths.get((font, text))) is None:
            width = self._widths[font, text] = ceil(font.getlength(text))
        return width

    def _mask(self, font: Font, text: str, size: int) -> Image.Image:
        """The letters in white; around them is room for those that reach out of their place."""
        if (mask := self._masks.get((font, text))) is None:
            sides = self._width(font, text) + size // 4 * 2, size * 3 // 2
            mask = self._masks[font, text] = Image.new("L", sides)
            ImageDraw.Draw(mask).text((size // 4, size * 3 // 4), text, 255, font, anchor="lm")
        return mask
