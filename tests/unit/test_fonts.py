import logging
import subprocess
from pathlib import Path

import pytest
from PIL import ImageFont

from inference.drawing import fonts
from inference.drawing.fonts import TIMES, Fonts

UNKNOWN = "\U000e1234"  # stands for nothing in Unicode, so no font has it


def missing(*_: object, **__: object) -> None:
    raise FileNotFoundError("fc-match")


@pytest.fixture(autouse=True)
def forgotten() -> None:
    fonts._file_for.cache_clear()


def test_without_fonts_of_the_system_latin_is_written_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", missing)
    assert Fonts().of(f"ripe strawberry {TIMES} 419", 20)[1] == "ripe strawberry x 419"
    assert Fonts().of("leaf", 20)[1] == "leaf"


@pytest.mark.skipif(not Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf").is_file(), reason="no such font")
def test_another_script_is_written_in_a_font_that_has_it() -> None:
    font, text = Fonts(Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")).of("спелая", 20)
    assert (font.getname()[0], text) == ("DejaVu Sans", "спелая")


def test_letters_that_no_font_has_are_escaped_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        written = [Fonts().of(f"a{UNKNOWN}", size)[1] for size in (20, 30)]
    assert written == ["a\\U000e1234", "a\\U000e1234"]
    assert [record.getMessage() for record in caplog.records] == [
        "no font has the letters of '\\U000e1234': install one, such as Debian's fonts-noto, or set PUNNET_FONT"]


def test_a_file_that_is_no_font_is_told_and_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "font.ttf"
    file.write_text("no font")
    font, text = Fonts(file).of("leaf", 20)
    assert isinstance(font, ImageFont.FreeTypeFont)
    assert text == "leaf"
    assert str(file) in caplog.text
