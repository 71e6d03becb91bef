"""What a file is that is no image of a served format, by how it begins."""

# How it begins, and where that stands. The first that fits counts.
KNOWN: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF", "a PDF"), (0, b"8BPS", "a Photoshop file"), (0, b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000"), (0, b"\0\0\0\x0cJXL ", "a JPEG XL"), (0, b"\xff\x0a", "a JPEG XL"),
    (0, b"\0\0\1\0", "a Windows icon"), (0, b"\0\0\2\0", "a Windows cursor"), (0, b"icns", "a macOS icon"),
    (0, b"DDS ", "a DirectDraw surface"), (0, b"v/1\1", "an OpenEXR"), (0, b"#?RADIANCE", "a Radiance HDR"),
    (0, b"SIMPLE  =", "a FITS file"), (128, b"DICM", "a DICOM file"), (0, b"qoif", "a QOI"),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file"), (0, b"IIRO", "a camera's raw file"),
    (0, b"IIU\0", "a camera's raw file"), (0, b"P1\n", "a PBM"), (0, b"P4\n", "a PBM"), (0, b"P2\n", "a PGM"),
    (0, b"P5", "a PGM"), (0, b"P3\n", "a PPM"), (0, b"P6", "a PPM"), (0, b"%!PS", "PostScript"),
    (8, b"AVI ", "a video (AVI)"), (8, b"WAVE", "a sound (WAV)"), (0, b"\x1aE\xdf\xa3", "a video (Matroska or WebM)"),
    (0, b"\x1f\x8b", "compressed with gzip"), (0, b"PK\3\4", "a ZIP archive"), (0, b"7z\xbc\xaf", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"), (0, b"\x7fELF", "a program"), (0, b"\x93NUMPY", "a file of numpy's format"),
    (0, b"data:", "the text of a data: URL"), (0, b"http", "the text of a URL"),
    (0, b"{", "JSON"), (0, b"[", "JSON"))
TEXT_BYTES = 512
SHOWN_BYTES = 8


def name_of(data: bytes) -> str:
    """In words, such as "a PDF", "empty", or the first bytes of what has no name here."""
    if not data:
        return "empty"
    for at, start, name in KNOWN:
        if data[at:at + len(start)] == start:
            return name
    return _text(data[:TEXT_BYTES]) or f"no image: it begins with {data[:SHOWN_BYTES].hex(' ')}"


def _text(start: bytes) -> str:
    """The end may be half a character."""
    decoded = start.decode("utf-8", "ignore")
    text = decoded.lstrip().lower()
    if "<svg" in text:
        return "an SVG"
    if text.startswith(("<!doctype html", "<html")):
        return "a page in HTML"
    if text.startswith("<?xml"):
        return "XML"
    is_whole = len(decoded.encode()) > len(start) - 4
    return "a text" if text and is_whole and "".join(text.split()).isprintable() else ""
