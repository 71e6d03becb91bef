"""What the authors' own code feeds and reads of families of detectors that tell nothing of it in their files.

`family` is what a warning names: these facts are taken for granted where outputs have the family's names and shapes.
"""

from inference.boxes.encodings import BOX
from inference.findings.sources.seen import Facts
from inference.skeleton import FACE_KEYPOINTS

# Faces with five points. insightface's own threshold; cv::FaceDetectorYN takes 0.9, UltraFace 0.7.
FACES: Facts = {"labels": ("face",), "threshold": 0.5, "keypoints": (5, 2), "keypoint_labels": FACE_KEYPOINTS}
# https://github.com/opencv/opencv, modules/objdetect/src/face_detect.cpp
YUNET: Facts = {"family": "YuNet", "boxes": "grid", "combined": "root", "iou": 0.3, "color": "BGR", "scale": 1.0,
                "mean": 0.0, "std": 1.0, "resize": "letterbox", "anchor": "top-left", "rounding": "down",
                "resample": "linear", "fill": 0.0}
# https://github.com/deepinsight/insightface, python-package/insightface/model_zoo/retinaface.py
SCRFD: Facts = {"family": "SCRFD", "boxes": "ltrb", "point": "corner", "iou": 0.4, "color": "RGB", "scale": 1.0,
                "mean": 127.5, "std": 128.0, "resize": "letterbox", "anchor": "top-left", "rounding": "down",
                "resample": "linear", "fill": 0.0}
# https://github.com/RangiLyu/nanodet, nanodet/model/head and config
NANODET: Facts = {"family": "NanoDet", "boxes": "dfl", "iou": 0.6, "color": "BGR", "scale": 1.0,
                  "mean": (103.53, 116.28, 123.675), "std": (57.375, 57.12, 58.395), "resize": "stretch",
                  "resample": "linear"}
# https://github.com/dog-qiuqiu/FastestDet, utils/tool.py and test.py
FASTESTDET: Facts = {"family": "FastestDet", "columns": "objectness box scores", "boxes": "tanh", "units": "pixels",
                     "activation": "none", "background": "none", "nms": "per-class", "iou": 0.45, "color": "BGR",
                     "scale": 1 / 255, "mean": 0.0, "std": 1.0, "resize": "stretch", "resample": "linear"}
# https://github.com/Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB, run_video_face_detect_onnx.py
ULTRAFACE: Facts = {"family": "UltraFace", "labels": ("face",), "threshold": 0.5, "boxes": "xyxy",
                    "units": "normalised", "activation": "none", "background": "first", "nms": "per-class", "iou": 0.5,
                    "color": "RGB", "scale": 1.0, "mean": 127.0, "std": 128.0, "resize": "stretch",
                    "resample": "linear"}


def distributed(numbers: int, strides: tuple[int, ...]) -> Facts:
    """How NanoDet counts distances: NanoDet-Plus, which has four strides, from the corner of a cell, the one before it,
    which has three, from its centre (GFLHead)."""
    return {"bins": numbers // BOX, "point": "corner" if len(strides) > 3 else "center"}
