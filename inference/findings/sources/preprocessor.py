"""A Hugging Face export's `preprocessor_config.json` or `processor_config.json`: how an image becomes the input."""

from pathlib import Path

from inference.errors import ModelNotUsable
from inference.findings.sources import Claims
from inference.findings.sources.preprocessor_file import FAMILIES, Preprocessor, read_preprocessor
from inference.findings.sources.preprocessor_sizes import NotFollowed, geometry
from inference.findings.sources.seen import Facts
from inference.spec import Fill

# PIL's numbers
RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
NOT_ANTIALIASED = ("DepthPro", "RfDetr", "ZoeDepth")  # bilinear, between the nearest pixels alone
WHITE = 255.0
LAYOUTS = {"channels_first": "NCHW", "channels_last": "NHWC"}
ADVICE = "which is not done here: remove the key where the model can do without, or prepare the image in hooks.py"


def claims(folder: Path) -> Claims | None:
    """How an image becomes the input; None where there is no such file.

    Raises:
        ModelNotUsable: the file is damaged, or asks for what is not done here.
    """
    read = read_preprocessor(folder)
    if read is None:
        return None
    source, found = read
    if found.not_followed:
        raise ModelNotUsable(f"{source} asks for {found.not_followed}, {ADVICE}")
    try:
        placed = geometry(found, _zero(found))
    except NotFollowed as error:
        raise ModelNotUsable(f"{source}, {error}, {ADVICE}") from error
    facts: Facts = {"layout": LAYOUTS.get(found.data_format, "NCHW"), "written_layout": LAYOUTS.get(found.data_format),
                    "resample": _resample(found), "color": "BGR" if found.do_flip_channel_order else None,
                    "unknown": _unknown(found, source), **_normalisation(found), **placed}
    return Claims(source, {fact: value for fact, value in facts.items() if value is not None})


def _unknown(found: Preprocessor, source: str) -> str | None:
    """A warning about a processor that may do more than its keys say."""
    if not found.kind or found.family in FAMILIES:
        return None
    return (f"{source} is of {found.kind}, which is not known here: its usual keys are followed, and what it does "
            "besides is not; compare a result with transformers', and write resize below [input] in model.toml")


# Values


def _resample(found: Preprocessor) -> str | None:
    usual = None if found.resample is None else RESAMPLE.get(found.resample)
    return "linear" if usual == "bilinear" and found.family in NOT_ANTIALIASED else usual


def _normalisation(found: Preprocessor) -> Facts:
    """Rescale, then normalise. With an offset pixels become -1..1; EfficientNet divides by the deviation once more."""
    facts: Facts = {"scale": found.rescale_factor if found.do_rescale else 1.0}
    mean, std = _normalised_by(found)
    if found.rescale_offset and found.do_rescale:
        mean = tuple(value + 1 for value in mean)
    if found.include_top and found.image_std is not None:
        further = _values(found.image_std)
        mean, std = _equal_lengths(mean, std, further)
        std = tuple(one * two for one, two in zip(std, further * (len(std) if len(further) == 1 else 1), strict=False))
    return facts | {"mean": mean, "std": std}


def _normalised_by(found: Preprocessor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation. MobileViT's processor, the one that may flip channels, never normalises."""
    wanted = found.do_normalize
    if wanted is None:
        wanted = found.image_mean is not None and found.do_flip_channel_order is None
    if not wanted or found.image_mean is None or found.image_std is None:
        return (0.0,), (1.0,)
    return _values(found.image_mean), _values(found.image_std)


def _zero(found: Preprocessor) -> Fill | None:
    """The pixel that normalises to 0, or comes closest; None where the keys make no sense, which is told elsewhere."""
    mean, _ = _normalised_by(found)
    scale = found.rescale_factor if found.do_rescale else 1.0
    if not scale or not mean:
        return None
    red, green, blue = (min(max(value / scale, 0.0), WHITE) for value in (mean * 3)[:3])
    return red, green, blue


def _values(given: list[float] | float) -> tuple[float, ...]:
    return tuple(given) if isinstance(given, list) else (given,)


def _equal_lengths(mean: tuple[float, ...], std: tuple[float, ...],
                   further: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    count = max(len(mean), len(std), len(further))
    return (mean * count if len(mean) == 1 else mean), (std * count if len(std) == 1 else std)
