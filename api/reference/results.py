"""The result of each task, as a predictor writes it. What is no number in a result is null."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

Score = Annotated[float | None, Field(description="From 0 to 1; some models go beyond.")]
PngBase64 = Annotated[str, Field(description="base64 of a PNG as large as the image, 0 and 255.")]
DataUrl = Annotated[str, Field(description="A data: URL of a PNG.")]


class Box(BaseModel):
    """In pixels of the image as a person sees it."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float


class Point(BaseModel):
    """In pixels of the image as a person sees it."""

    x: float
    y: float


class Label(BaseModel):
    label: str
    score: Score


class LabeledTile(Label):
    box: Box


class DetectedObject(Label):
    """`polygon`, with four corners, and `angle`, in degrees, are there for oriented boxes."""

    box: Box
    polygon: list[Point] | None = None
    angle: float | None = None


class Keypoint(Point):
    label: str
    score: Score = None


class DetectedPose(Label):
    box: Box | None = None
    keypoints: list[Keypoint]


class Segment(BaseModel):
    """A class of the image, or with `box` one object."""

    label: str
    score: Score
    mask: PngBase64
    box: Box | None = None


class TensorOutput(BaseModel):
    """`datatype` and the order of `data` are those of the Open Inference Protocol."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float | bool | str | None]


class ImageClassification(BaseModel):
    task: Literal["image-classification"]
    predictions: list[Label]
    tiles: list[LabeledTile] | None = Field(None, description="Of an image that was cut into tiles: each one's label.")


class ObjectDetection(BaseModel):
    task: Literal["object-detection"]
    predictions: list[DetectedObject]


class KeypointDetection(BaseModel):
    task: Literal["keypoint-detection"]
    predictions: list[DetectedPose]


class ImageSegmentation(BaseModel):
    task: Literal["image-segmentation"]
    predictions: list[Segment]


class DepthEstimation(BaseModel):
    """The PNG is grey and has 16 bits: 0 stands for `minimum`, 65535 for `maximum`."""

    task: Literal["depth-estimation"]
    depth: DataUrl
    minimum: float
    maximum: float


class ImageFeatureExtraction(BaseModel):
    task: Literal["image-feature-extraction"]
    embedding: list[float | None]


class ImageToImage(BaseModel):
    task: Literal["image-to-image"]
    image: DataUrl
    width: int
    height: int


class TensorResult(BaseModel):
    task: Literal["tensor"]
    outputs: list[TensorOutput]


Result = Annotated[
    ImageClassification | ObjectDetection | KeypointDetection | ImageSegmentation | DepthEstimation
    | ImageFeatureExtraction | ImageToImage | TensorResult,
    Field(discriminator="task", description="By the model's task. A model with hooks.py may add to it.")]
