"""What a model's answers to test images decide, where names and shapes do not."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from inference.errors import ModelNotUsable
from inference.findings.sources import GRAPH, TEST_IMAGE
from inference.spec import ModelSpec
from tests.answering import answering, saved
from tests.unit.findings_helpers import source_of
from tests.unit.images import encode, plain
from tests.unit.predicting import loaded, result

CELLS = 80 * 80 + 40 * 40 + 20 * 20
NAMES = "\n".join(["person", "cat", "dog"])


def put(folder: Path, toml: str = "", labels: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if toml:
        (folder / "model.toml").write_text(toml)
    if labels:
        (folder / "labels.txt").write_text(labels)
    return folder / "model.onnx"


def boxes_of(models: Path, size: tuple[int, int] = (640, 480)) -> list[tuple]:
    """What a detector finds in a grey image: label, score and corners."""
    found = result(loaded(models), encode(plain(size), "PNG"))["predictions"]
    return [(one["label"], round(one["score"], 3), [round(side) for side in one["box"].values()]) for one in found]


# Scores


@pytest.mark.parametrize(("op", "activation", "source"), [("Softmax", "none", GRAPH), ("Sigmoid", "none", GRAPH)])
def test_an_activation_in_the_graph_is_not_applied_again(tmp_path: Path, op: str, activation: str, source: str) -> None:
    path = put(tmp_path / "m", 'task = "image-classification"')
    nodes = [helper.make_node("ReduceMean", ["x"], ["mean"], axes=[2, 3], keepdims=0),
             helper.make_node("Gemm", ["mean", "w"], ["logits"]), helper.make_node(op, ["logits"], ["scores"])]
    saved(path, nodes, [numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")], {"x": (1, 3, 8, 8)},
          {"scores": (1, 3)})
    spec = loaded(tmp_path).spec
    assert (spec.output.activation, source_of(spec, "activation")) == (activation, source)


def test_one_score_of_a_sigmoid_is_a_score(tmp_path: Path) -> None:
    """Keras' binary classifiers, Dense(1, activation="sigmoid")."""
    path = put(tmp_path / "m", 'task = "image-classification"', "dog")
    nodes = [helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2], keepdims=0),
             helper.make_node("Gemm", ["mean", "w", "b"], ["logit"]), helper.make_node("Sigmoid", ["logit"], ["out"])]
    weights = [numpy_helper.from_array(np.zeros((3, 1), np.float32), "w"),
               numpy_helper.from_array(np.array([-4], np.float32), "b")]
    saved(path, nodes, weights, {"x": (1, 8, 8, 3)}, {"out": (1, 1)})
    [found] = result(loaded(tmp_path), encode(plain(), "PNG"))["predictions"]
    assert found == {"label": "dog", "score": pytest.approx(0.017986, abs=1e-6)}


def test_one_logit_gets_its_sigmoid(tmp_path: Path) -> None:
    answering(put(tmp_path / "m", 'task = "image-classification"', "dog"), {"out": np.array([[0.5]])}, (1, 3, 8, 8))
    [found] = result(loaded(tmp_path), encode(plain(), "PNG"))["predictions"]
    assert found["score"] == pytest.approx(1 / (1 + np.exp(-0.5)), abs=1e-6)


@pytest.mark.parametrize(("inside", "outside", "found"), [(0.9, 0.1, 1), (0.45, 0.05, 0)])
def test_a_map_of_scores_gets_no_sigmoid(tmp_path: Path, inside: float, outside: float, found: int) -> None:
    """U2-Net, ISNet and other U-Nets give shares of an object, whatever made them."""
    scores = np.full((1, 1, 64, 64), outside)
    scores[..., :32] = inside
    answering(put(tmp_path / "m", 'task = "image-segmentation"\nlabels = ["object"]'), {"out": scores}, (1, 3, 64, 64))
    predictions = result(loaded(tmp_path), encode(plain((64, 64)), "PNG"))["predictions"]
    assert [one["score"] for one in predictions] == [pytest.approx(inside, abs=1e-4)] * found


def test_small_logits_of_a_classifier_are_no_scores(tmp_path: Path) -> None:
    """As of weights that are not trained, or behind a last ReLU (SqueezeNet)."""
    answering(put(tmp_path / "m"), {"out": np.linspace(0.01, 0.2, 40)[np.newaxis]}, (1, 3, 8, 8))
    assert loaded(tmp_path).spec.output.activation == "softmax"


# Boxes


def grid_rows(*rows: tuple, columns: int = 8) -> NDArray:
    """One row a cell of YOLOX's grids for a side of 640, empty but for the first."""
    values = np.zeros((1, CELLS, columns))
    for number, row in enumerate(rows):
        values[0, number] = row
    return values


def test_yolov6_is_no_yolox_though_it_has_a_row_for_each_cell(tmp_path: Path) -> None:
    """Its boxes are pixels, and its objectness is always 1; the image is in the letterbox's middle."""
    answering(put(tmp_path / "m", labels=NAMES), {"outputs": grid_rows(
        (320, 320, 160, 240, 1, 0, 0, 0.88), (100, 180, 80, 80, 1, 0.77, 0, 0))})
    assert boxes_of(tmp_path) == [("dog", 0.88, [240, 120, 400, 360]), ("person", 0.77, [60, 60, 140, 140])]
    spec = loaded(tmp_path).spec
    assert (spec.input.color, spec.input.anchor, spec.input.scale) == ("RGB", "center", 1 / 255)


def test_yolox_that_decodes_its_boxes_is_not_decoded_again(tmp_path: Path) -> None:
    answering(put(tmp_path / "m", labels=NAMES), {"output": grid_rows(
        (320, 320, 160, 240, 0.95, 0, 0, 0.9), (100, 180, 80, 80, 0.9, 0.8, 0, 0))})
    assert boxes_of(tmp_path) == [("dog", 0.855, [240, 200, 400, 440]), ("person", 0.72, [60, 140, 140, 220])]
    spec = loaded(tmp_path).spec
    assert (spec.input.color, spec.input.anchor, spec.input.scale) == ("BGR", "top-left", 1.0)


@pytest.mark.parametrize("labels", [NAMES, ""], ids=["labels", "no labels"])
def test_raw_yolox_is_known_by_its_rows(tmp_path: Path, labels: str) -> None:
    answering(put(tmp_path / "m", labels=labels), {"output": grid_rows((0.5, 0.5, 2, 3, 0.95, 0, 0, 0.9))})
    spec = loaded(tmp_path).spec
    assert (spec.task, spec.output.columns, spec.output.boxes) == ("object-detection", "box objectness scores", "grid")
    assert spec.labels == (tuple(labels.split()) or ("0", "1", "2"))


SEVEN = {"score class": np.array([[0, 160, 120, 320, 360, 0.9, 2], [0, 20, 40, 120, 160, 0.6, 0]]),
         "class score": np.array([[0, 160, 120, 320, 360, 2, 0.9], [0, 20, 40, 120, 160, 0, 0.6]])}


@pytest.mark.parametrize("order", list(SEVEN))
def test_rows_of_seven_tell_score_and_class_by_their_values(tmp_path: Path, order: str) -> None:
    answering(put(tmp_path / "m", labels=NAMES), {"rows": SEVEN[order]}, (1, 3, 480, 640), {"rows": ("n", 7)})
    assert boxes_of(tmp_path) == [("dog", 0.9, [160, 120, 320, 360]), ("person", 0.6, [20, 40, 120, 160])]


def test_rows_of_seven_that_nothing_tells_apart_are_asked_for(tmp_path: Path) -> None:
    path, rows = put(tmp_path / "m", labels=NAMES), numpy_helper.from_array(np.ones((9, 7), np.float32), "ones")
    nodes = [helper.make_node("ReduceMax", ["x"], ["highest"], keepdims=0),
             helper.make_node("Less", ["ones", "highest"], ["keep"]),
             helper.make_node("Cast", ["keep"], ["numbers"], to=1),
             helper.make_node("ReduceMax", ["numbers"], ["highest number"], axes=[1], keepdims=0),
             helper.make_node("Cast", ["highest number"], ["kept"], to=9),
             helper.make_node("Compress", ["ones", "kept"], ["rows"], axis=0)]  # none: the image is not above 1
    saved(path, nodes, [rows], {"x": (1, 3, 480, 640)}, {"rows": ("n", 7)})
    with pytest.raises(ModelNotUsable, match=r"columns cannot be found out.*batch box score class"):
        loaded(tmp_path)


def test_a_grid_of_anchors_is_refused_for_what_it_is(tmp_path: Path) -> None:
    """YOLOv2, as Custom Vision's "General (compact)" exports it; its maps are no scores of 40 classes."""
    answering(put(tmp_path / "m", labels=NAMES), {"model_outputs0": np.zeros((1, 40, 4, 4))}, ("n", 3, 128, 128),
              {"model_outputs0": ("n", "m", 4, 4)})
    with pytest.raises(ModelNotUsable, match=r"grid of a YOLOv2.*hooks\.py"):
        loaded(tmp_path)


@pytest.mark.parametrize("values", [(0.1, 0.2, 0.1, 0.2, 0.1, 0.2, 0.1), (0.3, 0.2, 0.1, 0.2, 0.2, 0),
                                    (-0.3, 1.2, 0.1, 2, 3, 0.2, 1)])
def test_a_classifier_of_an_open_batch_has_no_rows_of_boxes(tmp_path: Path, values: tuple[float, ...]) -> None:
    """Six or seven classes: rows of an open number would be as wide. A detector's seven begin with the image's 0."""
    answering(put(tmp_path / "m"), {"dense": np.array([values])}, ("n", 224, 224, 3), {"dense": ("m", len(values))})
    assert loaded(tmp_path).spec.task == "image-classification"


# The other tasks


def features(tmp_path: Path, last: str, side: int = 112) -> ModelSpec:
    path = put(tmp_path / "m")
    nodes = [helper.make_node("ReduceMean", ["x"], ["mean"], axes=[2, 3], keepdims=0),
             helper.make_node("Gemm", ["mean", "w"], ["wide"])]
    weights = [numpy_helper.from_array(np.random.default_rng(0).normal(size=(3, 512)).astype(np.float32), "w")]
    if last == "BatchNormalization":
        weights += [numpy_helper.from_array(np.full(512, value, np.float32), name)
                    for name, value in (("s", 1), ("o", 0), ("m", 0), ("v", 1))]
        nodes.append(helper.make_node(last, ["wide", "s", "o", "m", "v"], ["out"]))
    else:
        nodes.append(helper.make_node(last, ["wide"], ["out"]))
    return loaded_spec(saved(path, nodes, weights, {"x": (1, 3, side, side)}, {"out": (1, 512)}))


def loaded_spec(path: Path) -> ModelSpec:
    return loaded(path.parents[1]).spec


def test_a_vector_that_no_classifier_ends_in_is_features(tmp_path: Path) -> None:
    """Faces and persons: the last layer is a normalisation."""
    assert features(tmp_path, "BatchNormalization").task == "image-feature-extraction"


def test_a_vector_of_a_classifiers_last_layer_is_scores(tmp_path: Path) -> None:
    assert features(tmp_path, "Identity", side=224).task == "image-classification"
    assert features(tmp_path, "Softmax").task == "image-classification"


@pytest.mark.parametrize("last", ["Identity", "BatchNormalization"])
def test_an_aligned_face_gives_features_of_pixels_around_0(tmp_path: Path, last: str) -> None:
    """ArcFace: an input of 112 x 112; whether its last normalisation is an operator of its own depends on the
    exporter."""
    spec = features(tmp_path, last)
    assert (spec.task, spec.input.scale, spec.input.mean) == ("image-feature-extraction", 1 / 127.5, (1.0,) * 3)
    assert "that tell faces apart" in spec.warnings[0]


@pytest.mark.parametrize(("values", "black_white"), [((0, 1), (0, 1)), ((-1, 1), (-1, 1)), ((0, 255), (0, 255))])
def test_the_range_of_a_produced_image_is_seen(tmp_path: Path, values: tuple, black_white: tuple) -> None:
    low, high = values
    picture = np.linspace(low, high, 3 * 64 * 64).reshape(1, 3, 64, 64)
    path = answering(put(tmp_path / "m"), {"out": picture}, (1, 3, 64, 64))
    spec = loaded_spec(path)
    assert (spec.task, spec.output.range, source_of(spec, "range")) == ("image-to-image", black_white, TEST_IMAGE)


def test_a_plane_of_other_numbers_is_no_image(tmp_path: Path) -> None:
    depth = np.linspace(3, 40, 64 * 64).reshape(1, 1, 64, 64)
    assert loaded_spec(answering(put(tmp_path / "m"), {"out": depth}, (1, 3, 64, 64))).task == "tensor"


def test_a_plane_of_shares_is_a_mask_whose_0_is_black(tmp_path: Path) -> None:
    """RMBG, U-Net with one class: whatever the input's normalisation."""
    mask = np.linspace(0, 1, 64 * 64).reshape(1, 1, 64, 64)
    toml = "[input]\nscale = 0.0078431\nmean = 1"
    spec = loaded_spec(answering(put(tmp_path / "m", toml), {"out": mask}, (1, 3, 64, 64)))
    assert (spec.task, spec.output.range) == ("image-to-image", (0.0, 1.0))


def image_to_image(tmp_path: Path, *nodes: onnx.NodeProto, weights: tuple = ()) -> ModelSpec:
    path = put(tmp_path / "m", 'task = "image-to-image"')
    return loaded_spec(saved(path, nodes, list(weights), {"x": (1, 3, 192, 192)}, {"y": (1, 3, 192, 192)}))


def test_an_image_that_moves_with_the_posted_one_is_made_from_tiles(tmp_path: Path) -> None:
    kernel = np.zeros((3, 3, 3, 3), np.float32)
    kernel[range(3), range(3)] = 1 / 9
    blur = helper.make_node("Conv", ["x", "k"], ["y"], pads=[1, 1, 1, 1])
    assert image_to_image(tmp_path, blur, weights=(numpy_helper.from_array(kernel, "k"),)).tiling is not None


def test_an_image_that_is_turned_is_never_made_from_tiles(tmp_path: Path) -> None:
    turned = helper.make_node("Transpose", ["x"], ["y"], perm=[0, 1, 3, 2])
    spec = image_to_image(tmp_path, turned)
    assert (spec.tiling, source_of(spec, "tiling")) == (None, TEST_IMAGE)


# What the first operators expect


@pytest.mark.parametrize(("op", "constant", "scale"), [
    ("Mul", 1 / 255, 1.0), ("Div", 127.5, 1.0), ("Sub", 127.5, 1.0), ("Sub", 0.5, 1 / 255), ("Mul", 2.0, 1 / 255)])
def test_a_model_that_scales_its_input_gets_what_it_expects(tmp_path: Path, op: str, constant: float,
                                                            scale: float) -> None:
    nodes = [helper.make_node(op, ["x", "c"], ["scaled"]),
             helper.make_node("ReduceMean", ["scaled"], ["out"], axes=[2, 3], keepdims=0)]
    number = numpy_helper.from_array(np.full((), constant, np.float32), "c")
    path = saved(put(tmp_path / "m", labels="a\nb\nc"), nodes, [number], {"x": (1, 3, 8, 8)}, {"out": (1, 3)},
                 producer="pytorch")
    spec = loaded_spec(path)
    assert (spec.input.scale, spec.input.mean, spec.input.std) == (scale, (0.0,) * 3, (1.0,) * 3)
    assert (source_of(spec, "scale"), spec.warnings) == (GRAPH, ())


def test_an_input_that_no_operator_reads_gets_anything(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["x"], ["out"], axes=[2, 3], keepdims=0)]
    saved(put(tmp_path / "m", labels="a\nb\nc"), nodes, [], {"x": (1, 3, 8, 8), "norm/Sub/y:0": (1, 1, 1, 3)},
          {"out": (1, 3)})
    assert len(result(loaded(tmp_path), encode(plain(), "PNG"))["predictions"]) == 3


@pytest.mark.parametrize(("producer", "mean", "told"), [
    ("pytorch", (0.485, 0.456, 0.406), "ImageNet"), ("", (0.0,) * 3, "0 and 1 are assumed")])
def test_what_is_assumed_of_the_input_is_a_warning(tmp_path: Path, producer: str, mean: tuple, told: str) -> None:
    logits = np.array([[1.0, 2.0, 5.0]])
    spec = loaded_spec(answering(put(tmp_path / "m"), {"logits": logits}, (1, 3, 8, 8), producer=producer))
    [warning] = spec.warnings
    assert spec.input.mean == mean
    assert "mean and std are not known" in warning and told in warning


@pytest.mark.parametrize(("classes", "toml", "way", "edge"), [
    (1000, "", "crop", 256), (999, "", "stretch", None), (1000, '[input]\nresize = "stretch"', "stretch", None)])
def test_of_a_bare_imagenet_classifier_the_middle_is_assumed(tmp_path: Path, classes: int, toml: str, way: str,
                                                            edge: int | None) -> None:
    path = put(tmp_path / "m", toml)
    spec = loaded_spec(answering(path, {"output": np.zeros((1, classes)) + np.arange(classes)}, (1, 3, 224, 224),
                                 producer="pytorch"))
    assert (spec.input.resize, spec.input.shortest_edge) == (way, edge)
    assert any("resize is not known" in warning for warning in spec.warnings) == (way == "crop")


def test_an_anomaly_map_marks_what_is_unusual(tmp_path: Path) -> None:
    scores = np.full((1, 1, 64, 64), 0.1)
    scores[..., :16] = 0.8
    answering(put(tmp_path / "m"), {"pred_score": np.array([0.8]), "anomaly_map": scores}, (1, 3, 64, 64))
    [found] = result(loaded(tmp_path), encode(plain((64, 64)), "PNG"))["predictions"]
    assert (found["label"], found["score"]) == ("anomaly", pytest.approx(0.8, abs=1e-4))


def test_a_detector_of_two_outputs_is_read_by_its_boxes_and_scores(tmp_path: Path) -> None:
    """As UltraFace: corners as shares of the input, and a score for the background first."""
    boxes = np.array([[[0.25, 0.25, 0.5, 0.75], *[[0.1, 0.1, 0.2, 0.2]] * 9]])
    scores = np.array([[[0.1, 0.9], *[[0.99, 0.01]] * 9]])
    answering(put(tmp_path / "m", labels="face"), {"scores": scores, "boxes": boxes}, (1, 3, 64, 64))
    assert boxes_of(tmp_path) == [("face", 0.9, [160, 120, 320, 360])]
    [warning] = loaded(tmp_path).spec.warnings
    assert "mean and std are not known" in warning


# Inputs without a batch axis


def test_an_input_without_a_batch_axis_takes_the_image(tmp_path: Path) -> None:
    """torchvision's detectors take a list of images, [3, height, width] each."""
    outputs = {"boxes": np.array([[10.0, 20, 30, 40]]), "labels": np.array([2.0]), "scores": np.array([0.9])}
    answering(put(tmp_path / "m", labels="__background__\na\nb"), outputs, (3, "height", "width"))
    [found] = result(loaded(tmp_path), encode(plain((100, 80)), "PNG"))["predictions"]
    assert (found["label"], found["score"], found["box"]) == (
        "b", 0.9, {"xmin": 10.0, "ymin": 20.0, "xmax": 30.0, "ymax": 40.0})
