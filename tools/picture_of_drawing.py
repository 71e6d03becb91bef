"""Makes the README's picture of drawings: `python -m tools.picture_of_drawing http://localhost:4958` before a running
service. Left is the sample field, right the same field many times, which makes a crowd."""

import io
import sys

from PIL import Image

from cli.client import Client
from settings import ROOT

FILE = ROOT / "docs" / "images" / "drawing.webp"
SAMPLE = ROOT / "samples" / "strawberries.jpg"
ASKED = "/predict?model_type=strawberry-fruit&mode=sync"
CROWD = 3  # fields beside and below each other
HEIGHT, GAP = 560, 12  # pixels of the picture


def fields(count: int) -> bytes:
    """The sample so many times beside and below itself."""
    with Image.open(SAMPLE) as field:
        whole = Image.new("RGB", (field.width * count, field.height * count))
        for place in range(count * count):
            whole.paste(field, (place % count * field.width, place // count * field.height))
    buffer = io.BytesIO()
    whole.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def drawn(client: Client, image: bytes) -> Image.Image:
    """What the service draws on an image, as high as the picture."""
    data, _ = client.ask("POST", ASKED, image, {"Accept": "image/png", "Content-Type": "image/jpeg"})
    with Image.open(io.BytesIO(data)) as drawing:
        return drawing.convert("RGB").resize((round(drawing.width * HEIGHT / drawing.height), HEIGHT))


def main() -> None:
    """Ask for the drawings, and write them beside each other."""
    client, left = Client(sys.argv[1]), 0
    drawings = [drawn(client, fields(count)) for count in (1, CROWD)]
    picture = Image.new("RGB", (sum(one.width for one in drawings) + GAP, HEIGHT), "white")
    for drawing in drawings:
        picture.paste(drawing, (left, 0))
        left += drawing.width + GAP
    picture.save(FILE, quality=84, method=6)


if __name__ == "__main__":
    main()
