"""What Pillow takes for other pixels than a TIFF has: it is put right, or refused. Nothing is decoded here."""

from typing import Any

from inference.errors import UnsupportedImage

BITS, PHOTOMETRIC, FILL_ORDER, PLANES, SAMPLE_FORMAT = 258, 262, 266, 284, 339  # tags of TIFF
WHITE_IS_ZERO, SEPARATE, UNSIGNED, SIGNED, BIG_ENDIAN = 0, 2, 1, 2, b"MM"  # their values, and how a TIFF may begin
PLANE_MODES = {8: ("RGB", "RGBA", "CMYK", "LAB"), 16: ("RGB", "RGBA")}  # by bits; what Pillow reads plane by plane


def put_right(image: Any) -> None:
    """Change how Pillow will read the pixels of an opened TIFF.

    Raises:
        UnsupportedImage: it would read them wrongly in any way.
    """
    tags = image.tag_v2
    if image.mode == "L" and tags.get(SAMPLE_FORMAT, (UNSIGNED,))[0] == SIGNED:
        raise UnsupportedImage("the TIFF has signed numbers of 8 bits; those of 8 bits are taken without a sign, those "
                               "of 16 and 32 bits also with one")
    if image.info["compression"] == "raw" and tags.get(PLANES) == SEPARATE:
        image.tile = _planes(image)


def is_inverted(image: Any) -> bool:
    """Whether zero is white, which Pillow heeds for 8 bits and less alone. Only a TIFF tells so."""
    return getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO


def _planes(image: Any) -> list[Any]:
    """Pillow takes each value of a plane for one byte, in the usual order of bits."""
    tags = image.tag_v2
    bits = tags[BITS][0]
    if (image.mode not in PLANE_MODES.get(bits, ()) or tags.get(FILL_ORDER, 1) != 1
            or not all(tile.args[0] in image.mode for tile in image.tile)):
        raise UnsupportedImage(f"the TIFF has separate planes of {bits} bits without compression, in {image.mode}; such"
                               " planes are taken of RGB and RGBA of 8 and 16 bits, and of CMYK of 8: or save it with "
                               "its colours together (PlanarConfiguration 1)")
    form = "" if bits == 8 else ";16B" if tags.prefix == BIG_ENDIAN else ";16L"
    return [tile._replace(args=(tile.args[0] + form, *tile.args[1:])) for tile in image.tile]
