"""Keras 3 on TensorFlow: its applications with random weights, and small models of its layers, exported by
`model.export(format="onnx")` or by tf2onnx from a SavedModel.

Answers are those of `model.predict` for the image that `keras.utils.load_img` reads. pip install keras tensorflow-cpu
tf2onnx onnx
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import applications, layers

from tools.exports.making import Ask, Export
from tools.exports.references import Answer, classes, segments

SIDE = 224
CLASSES = 7
SPREAD = 2.0  # of the logits: random weights alone would give every class the same score
Prepare = Callable[[np.ndarray], np.ndarray]


def as_is(pixels: np.ndarray) -> np.ndarray:
    """What a model with layers for it takes."""
    return pixels


def shares(pixels: np.ndarray) -> np.ndarray:
    return pixels / 255


# Exporters


def by_keras(model: keras.Model, folder: Path) -> None:
    model.export(folder / "model.onnx", format="onnx", verbose=False)


def by_tf2onnx(model: keras.Model, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as saved:
        model.export(saved, format="tf_saved_model", verbose=False)
        _convert("--saved-model", saved, folder)


def by_tflite(model: keras.Model, folder: Path) -> None:
    """Through TensorFlow Lite with whole numbers inside and outside."""
    import tensorflow as tf

    noise = np.random.default_rng(0).uniform(0, 255, (8, 1, SIDE, SIDE, 3)).astype(np.float32)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image] for image in noise)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
        Path(file.name).write_bytes(converter.convert())
        _convert("--tflite", file.name, folder)


def _convert(kind: str, source: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "tf2onnx.convert", kind, source, "--output", str(folder / "model.onnx")],
                   check=True, capture_output=True)


# Models


def application(build: Callable[..., keras.Model]) -> keras.Model:
    return build(weights=None, classes=CLASSES, input_shape=(SIDE, SIDE, 3))


def with_own_head(build: Callable[..., keras.Model], *before: Any, count: int = CLASSES,
                  activation: str | None = "softmax") -> keras.Model:
    """As Keras' guide to transfer learning: an application without its top, and a layer of one's own."""
    inputs = keras.Input((SIDE, SIDE, 3))
    pixels: Any = inputs
    for step in before:
        pixels = step(pixels)
    features = build(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3))(pixels, training=False)
    pooled = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(features))
    return keras.Model(inputs, layers.Dense(count, activation=activation)(pooled))


def small(*before: layers.Layer, count: int = CLASSES, activation: str | None = "softmax",
          shape: tuple[int | None, int | None, int] = (SIDE, SIDE, 3)) -> keras.Model:
    """As Keras' tutorials on image classification: `before`, some convolutions, and a head."""
    blocks = [layer for width in (8, 16, 32) for layer in (layers.Conv2D(width, 3, activation="relu"),
                                                           layers.MaxPooling2D())]
    return keras.Sequential([keras.Input(shape), *before, *blocks, layers.GlobalAveragePooling2D(),
                             layers.Dense(count, activation=activation)])


def normalized() -> layers.Normalization:
    """Adapted to pixels, as `layer.adapt(train_ds)` does."""
    return layers.Normalization(mean=[120.0, 115.0, 101.0], variance=[4300.0, 4100.0, 4500.0])


def features() -> keras.Model:
    return applications.EfficientNetB0(weights=None, include_top=False, pooling="avg", input_shape=(SIDE, SIDE, 3))


def unet(count: int, activation: str) -> keras.Model:
    """As Keras' example on segmenting pets, with one level."""
    inputs = keras.Input((128, 128, 3))
    first = layers.Conv2D(16, 3, padding="same", activation="relu")(layers.Rescaling(1 / 255)(inputs))
    deep = layers.Conv2D(32, 3, padding="same", activation="relu")(layers.MaxPooling2D()(first))
    joined = layers.Concatenate()([layers.UpSampling2D()(deep), first])
    return keras.Model(inputs, layers.Conv2D(count, 3, padding="same", activation=activation)(joined))


def denoiser() -> keras.Model:
    """Takes the noise that it sees from an image of any size: 0..1 in, 0..1 out."""
    inputs = keras.Input((None, None, 3))
    deep = layers.Conv2D(16, 3, padding="same", activation="relu")(inputs)
    noise = layers.Conv2D(3, 3, padding="same", activation="tanh")(deep)
    cleaned = layers.Subtract()([inputs, layers.Rescaling(0.05)(noise)])
    return keras.Model(inputs, layers.ReLU(max_value=1.0)(cleaned))


def _spread(model: keras.Model, noise: np.ndarray) -> None:
    """Give the last layer weights that tell classes apart, none of which most images have."""
    last = next(layer for layer in reversed(model.layers) if layer.weights)
    activation, last.activation = last.activation, keras.activations.linear
    logits = np.asarray(keras.Model(model.inputs, last.output)(noise)).reshape(-1, last.output.shape[-1])
    last.activation = activation
    kernel, bias = last.get_weights()
    factor = SPREAD / max(float(np.abs(logits).mean()), 1e-6)
    last.set_weights([kernel * factor, bias * factor - logits.mean(axis=0) * factor / 2])


def _shape(model: keras.Model) -> tuple[int, ...]:
    return tuple(side or SIDE for side in model.input_shape[1:])


# Answers


def pixels_of(model: keras.Model, path: Path) -> np.ndarray:
    side = model.input_shape[1] or SIDE
    image = keras.utils.load_img(path, target_size=(side, side), interpolation="bilinear")
    return keras.utils.img_to_array(image)[np.newaxis]


def _classes(model: keras.Model, prepare: Prepare, from_logits: bool, path: Path) -> Answer:
    values = model.predict(prepare(pixels_of(model, path)), verbose=0)
    if from_logits:
        values = keras.ops.convert_to_numpy(keras.ops.softmax(values))
    return classes({str(number): float(score) for number, score in enumerate(values[0])})


def _features(model: keras.Model, prepare: Prepare, path: Path) -> Answer:
    values = model.predict(prepare(pixels_of(model, path)), verbose=0)[0]
    return Answer("image-feature-extraction", values=values)


def _picture(model: keras.Model, prepare: Prepare, path: Path) -> Answer:
    pixels = keras.utils.img_to_array(keras.utils.load_img(path))[np.newaxis]
    return Answer("image-to-image", values=model.predict(prepare(pixels), verbose=0)[0].clip(0, 1) * 255)


def _segments(model: keras.Model, prepare: Prepare, path: Path) -> Answer:
    scores = model.predict(prepare(pixels_of(model, path)), verbose=0)[0]
    with keras.utils.load_img(path) as image:
        size = image.height, image.width
    numbers = np.asarray(keras.ops.image.resize(scores, size)).argmax(axis=-1)
    return segments(numbers, {number: str(number) for number in range(scores.shape[-1])})


# The table


def _export(build: Callable[[], keras.Model], prepare: Prepare, write: Callable[[keras.Model, Path], None],
            answer: Callable[..., Answer], folder: Path) -> Ask:
    keras.backend.clear_session()
    model = build()
    noise = prepare(np.random.default_rng(1).uniform(0, 255, (2, *_shape(model))).astype(np.float32))
    model(noise)  # the exporter asks for a model that was called
    if answer not in (_features, _picture):
        _spread(model, noise)
    write(model, folder)
    return partial(answer, model, prepare)


def _classifier(build: Callable[[], keras.Model], prepare: Prepare = as_is, write: Any = by_keras,
                from_logits: bool = False) -> Export:
    return partial(_export, build, prepare, write, lambda model, ready, path: _classes(model, ready, from_logits, path))


EXPORTS: dict[str, Export] = {
    "resnet50": _classifier(partial(application, applications.ResNet50), applications.resnet50.preprocess_input),
    "resnet50v2": _classifier(partial(application, applications.ResNet50V2),
                              applications.resnet_v2.preprocess_input),
    "vgg16": _classifier(partial(with_own_head, applications.VGG16), applications.vgg16.preprocess_input),
    "densenet121": _classifier(partial(application, applications.DenseNet121),
                               applications.densenet.preprocess_input),
    "inceptionv3": _classifier(partial(application, applications.InceptionV3),
                               applications.inception_v3.preprocess_input),
    "xception": _classifier(partial(application, applications.Xception), applications.xception.preprocess_input),
    "mobilenetv2": _classifier(partial(application, applications.MobileNetV2),
                               applications.mobilenet_v2.preprocess_input),
    "mobilenetv2-savedmodel": _classifier(partial(application, applications.MobileNetV2),
                                          applications.mobilenet_v2.preprocess_input, by_tf2onnx),
    "mobilenetv3": _classifier(partial(application, applications.MobileNetV3Small)),
    "efficientnetb0": _classifier(partial(application, applications.EfficientNetB0)),
    "efficientnetb0-savedmodel": _classifier(partial(application, applications.EfficientNetB0), as_is, by_tf2onnx),
    "efficientnetv2b0": _classifier(partial(application, applications.EfficientNetV2B0)),
    "rescaling": _classifier(partial(small, layers.Rescaling(1 / 255))),
    "rescaling-to-minus-1": _classifier(partial(small, layers.Rescaling(1 / 127.5, offset=-1))),
    "normalization": _classifier(partial(small, normalized())),
    "rescaling-normalization": _classifier(partial(small, layers.Rescaling(1 / 255),
                                                   layers.Normalization(mean=[0.47, 0.45, 0.4], variance=[0.07] * 3))),
    "resizing-inside": _classifier(partial(small, layers.Resizing(SIDE, SIDE), layers.Rescaling(1 / 255),
                                           shape=(None, None, 3))),
    "plain-softmax": _classifier(small, shares),
    "logits": _classifier(partial(small, layers.Rescaling(1 / 255), activation=None), from_logits=True),
    "binary": _classifier(partial(small, layers.Rescaling(1 / 255), count=1, activation="sigmoid")),
    "transfer-binary": _classifier(partial(with_own_head, applications.MobileNetV2,
                                           applications.mobilenet_v2.preprocess_input, count=1, activation="sigmoid")),
    "transfer-resnet50": _classifier(partial(with_own_head, applications.ResNet50,
                                             applications.resnet50.preprocess_input)),
    "tflite-uint8": _classifier(partial(small, layers.Rescaling(1 / 255)), as_is, by_tflite),
    "features": partial(_export, features, as_is, by_keras, _features),
    "unet": partial(_export, partial(unet, 3, "softmax"), as_is, by_keras, _segments),
    "denoiser": partial(_export, denoiser, shares, by_keras, _picture),
}
