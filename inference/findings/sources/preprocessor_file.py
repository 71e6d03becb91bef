"""What a Hugging Face processor writes of itself, as it writes it.

Up to transformers 4 that is `preprocessor_config.json`; transformers 5 writes the same keys into
`processor_config.json`, below `image_processor`.
"""

from pathlib import Path

from inference.findings.sources import PREPROCESSOR_CONFIG, PROCESSOR_CONFIG
from inference.findings.sources.text_files import Document, read_json

Sides = int | list[int] | dict[str, int | None]
ENDINGS = ("Fast", "Pil", "ImageProcessor", "FeatureExtractor")  # of a processor's name, in this order
# Families whose processors do nothing but what their keys say, tried against transformers 5.
FAMILIES = frozenset((
    "Beit", "Bit", "Blip", "CHMv2", "CLIP", "ChineseCLIP", "ConditionalDetr", "ConvNext", "DINOv3ViT", "DPT",
    "DeformableDetr", "DeiT", "DepthPro", "Detr", "EfficientNet", "Eomt", "Flava", "GLPN", "GroundingDino", "Levit",
    "Mask2Former", "MaskFormer", "MobileNetV1", "MobileNetV2", "MobileViT", "OneFormer", "OwlViT", "Perceiver",
    "PoolFormer", "PromptDepthAnything", "Pvt", "RTDetr", "RfDetr", "Sam", "Sam2", "Sam3", "Sapiens2", "Segformer",
    "SegGpt", "Siglip", "SuperPoint", "Swin2SR", "TextNet", "Tipsv2", "Tipsv2Dpt", "ViT", "Yolos", "ZoeDepth"))
# What some processors do to an image and is not done here.
NOT_FOLLOWED = ("do_align_long_axis", "do_color_quantize", "do_crop_margin", "do_grayscale", "do_image_splitting",
                "do_pan_and_scan", "do_split_image", "do_thumbnail")


class Preprocessor(Document):
    """The keys; what an older file leaves out has the processors' usual value."""

    image_processor_type: str = ""
    feature_extractor_type: str = ""
    data_format: str = ""
    do_resize: bool = True
    size: Sides | None = None
    max_size: int | None = None
    crop_pct: float | None = None
    resample: int | None = None
    keep_aspect_ratio: bool = False
    ensure_multiple_of: float | None = None
    do_center_crop: bool = False
    crop_size: Sides | None = None
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    rescale_offset: bool = False
    do_normalize: bool | None = None
    image_mean: list[float] | float | None = None
    image_std: list[float] | float | None = None
    include_top: bool = False
    do_flip_channel_order: bool | None = None
    do_pad: bool = False
    pad_size: int | dict[str, int | None] | None = None
    size_divisor: int | None = None
    size_divisibility: int | None = None
    do_align_long_axis: bool = False
    do_color_quantize: bool = False
    do_crop_margin: bool = False
    do_grayscale: bool = False
    do_image_splitting: bool = False
    do_pan_and_scan: bool = False
    do_split_image: bool = False
    do_thumbnail: bool = False

    @property
    def kind(self) -> str:
        """The processor's name."""
        return self.image_processor_type or self.feature_extractor_type

    @property
    def family(self) -> str:
        """The processor's name without the endings that tell how it is made: "DPT"."""
        name = self.kind
        for ending in ENDINGS:
            name = name.removesuffix(ending)
        return name

    @property
    def padded_to(self) -> int | None:
        """The multiple that the sides become; Swin2SR called it pad_size, others call it size_divisor."""
        padded = self.pad_size if self.do_pad and isinstance(self.pad_size, int) else None
        return padded or self.size_divisor or self.size_divisibility

    @property
    def not_followed(self) -> str | None:
        """The first key that asks for what is not done here."""
        return next((key for key in NOT_FOLLOWED if getattr(self, key)), None)


class Processor(Document):
    """`processor_config.json`, of which the image's part is read."""

    image_processor: Preprocessor | None = None


def read_preprocessor(folder: Path) -> tuple[str, Preprocessor] | None:
    """The keys, and the file that they are in; `preprocessor_config.json` goes first. None where there is neither.

    Raises:
        ModelNotUsable: the file is damaged.
    """
    found = read_json(Preprocessor, folder / PREPROCESSOR_CONFIG)
    if found is not None:
        return PREPROCESSOR_CONFIG, found
    processor = read_json(Processor, folder / PROCESSOR_CONFIG)
    if processor is None or processor.image_processor is None:
        return None
    return PROCESSOR_CONFIG, processor.image_processor
