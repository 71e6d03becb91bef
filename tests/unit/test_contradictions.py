from pathlib import Path
from typing import Any

import pytest

from tests.unit.findings_helpers import Shape, found

PLANES: dict[str, Shape] = {"pixel_values": (1, 3, 64, 48)}
TOKENS: dict[str, Shape] = {"last_hidden_state": (1, 5, 8)}
VALUES = "[input]\nmean = 0\nstd = 1"
PLAIN = {"image_mean": [0.5], "image_std": [0.5], "do_normalize": True, "do_rescale": True}


@pytest.mark.parametrize(("name", "content", "inputs", "warning"), [
    ("preprocessor_config.json", {**PLAIN, "size": {"height": 32, "width": 32}}, PLANES,
     "preprocessor_config.json is for images of 32 x 32, and input pixel_values [1, 3, 64, 48] takes none of this"),
    ("config.json", {"architectures": ["ViTModel"], "image_size": 224}, PLANES,
     "config.json is for images of 224 x 224, and input pixel_values [1, 3, 64, 48] takes none of this"),
    ("config.json", {"architectures": ["ViTModel"], "image_size": [64, 48], "num_channels": 1}, PLANES,
     "config.json is for images of 1 channels, and input pixel_values [1, 3, 64, 48] takes 3"),
    ("preprocessor_config.json", {**PLAIN, "data_format": "channels_first"}, {"image": (1, 64, 48, 3)},
     "preprocessor_config.json says that channels come first, and input image [1, 64, 48, 3] has them last"),
])
def test_a_file_that_contradicts_the_input_is_named(tmp_path: Path, name: str, content: dict[str, Any],
                                                    inputs: dict[str, Shape], warning: str) -> None:
    spec = found(tmp_path, TOKENS, inputs, VALUES, files={name: content})
    assert [text for text in spec.warnings if text.startswith(warning)] == list(spec.warnings)
    assert len(spec.warnings) == 1


@pytest.mark.parametrize(("name", "content"), [
    ("preprocessor_config.json", {**PLAIN, "size": {"height": 64, "width": 48}, "data_format": "channels_first"}),
    ("config.json", {"architectures": ["ViTModel"], "image_size": [64, 48], "num_channels": 3}),
    ("config.json", {"architectures": ["ViTModel"], "image_size": {"height": 7}, "num_channels": "many"}),
])
def test_a_file_that_fits_is_not_warned_of(tmp_path: Path, name: str, content: dict[str, Any]) -> None:
    spec = found(tmp_path, TOKENS, PLANES, VALUES, files={name: content})
    assert spec.warnings == ()


def test_a_processors_size_is_believed_more_than_the_config(tmp_path: Path) -> None:
    files = {"preprocessor_config.json": {**PLAIN, "size": {"height": 64, "width": 48}},
             "config.json": {"architectures": ["SegformerModel"], "image_size": 224}}
    assert found(tmp_path, TOKENS, PLANES, files=files).warnings == ()


def test_the_config_tells_the_size_of_an_open_input_where_nothing_else_does(tmp_path: Path) -> None:
    spec = found(tmp_path, {"last_hidden_state": ("b", 5, 8)}, {"pixel_values": ("b", 3, "h", "w")},
                 files={"config.json": {"architectures": ["ViTModel"], "image_size": 96}})
    assert spec.input.size == (96, 96)
