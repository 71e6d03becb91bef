import pytest

from inference.engine import Engine
from inference.image import ImageInfo
from inference.workload import decoding
from tests.unit.pictures import photo

WANTED = (100, 100)


def jpeg(side: int, progressive: bool = False, scans: int = 1, mode: str = "RGB") -> ImageInfo:
    return ImageInfo(side, side, "JPEG", progressive, scans=scans, mode=mode, size_bytes=500_000)


@pytest.mark.parametrize(("info", "part"), [
    (jpeg(100), "decode JPEG 1/1"), (jpeg(600), "decode JPEG 1/2"), (jpeg(1200), "decode JPEG 1/4"),
    (jpeg(2400), "decode JPEG 1/8"), (jpeg(9000), "decode JPEG 1/8"),
    (jpeg(1600, progressive=True), "decode JPEG progressive"), (jpeg(600, mode="L"), "decode JPEG L 1/2"),
    (ImageInfo(9000, 100, "MPO"), "decode JPEG 1/1"), (ImageInfo(1600, 1600, "PNG"), "decode PNG"),
    (ImageInfo(1600, 1600, "PNG", mode="RGBA"), "decode PNG RGBA"), (ImageInfo(16, 16, "BMP"), "decode BMP"),
])
def test_what_decoding_costs_depends_on_format_mode_and_scale(info: ImageInfo, part: str) -> None:
    assert decoding(info, WANTED).part == part


def test_decoding_is_counted_in_images_megapixels_and_megabytes() -> None:
    assert decoding(jpeg(1000), WANTED).amounts == (1.0, 1.0, 0.5)


@pytest.mark.parametrize(("scans", "passes"), [(1, 1.0), (10, 1.0), (30, 3.0)])
def test_further_scans_of_a_progressive_jpeg_are_further_passes(scans: int, passes: float) -> None:
    assert decoding(jpeg(1000, progressive=True, scans=scans), WANTED).amounts[1] == passes


def test_a_models_work_is_counted_in_runs_and_in_megapixels_that_are_resized_and_shown(engine: Engine) -> None:
    model = engine.model("leaf")
    work = engine.workload(model, engine.open(photo((1000, 500))).info, model.parameters({}))
    assert work.running.amounts == (1.0, 0.5 / 16, 0.5)


def test_tiles_are_so_many_runs_and_nothing_is_resized(engine: Engine) -> None:
    model = engine.model("leaf")
    parameters = model.parameters({"tile": 32})
    info = engine.open(photo((200, 100))).info
    tiles = model.tiles(info.size, parameters)
    assert tiles is not None
    assert engine.workload(model, info, parameters).running.amounts == (len(tiles), 0.0, 0.02)
