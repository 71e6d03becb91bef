"""What a model is, decided from its files. `facts.py` keeps the record of where each decision came from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import ModelNotUsable
from inference.findings.facts import Facts
from inference.findings.input_facts import channels_of, input_spec, layout_of, size_claimed
from inference.findings.output_facts import given_labels, labels_of, output_spec
from inference.findings.sources import (
    DEFAULT,
    ONNX_SHAPES,
    Claims,
    hugging_face,
    preprocessor,
    text_files,
    timm,
    toml,
    ultralytics,
)
from inference.findings.sources.onnx_inputs import ImageInput, constants, image_input
from inference.findings.sources.onnx_outputs import outputs_of, task_of
from inference.findings.sources.seen import Seen
from inference.geometry import rounded_up
from inference.model_toml import MODEL_TOML, Layout, ModelToml, TaskName
from inference.session import CPU
from inference.spec import InputSpec, Interface, ModelSpec, OutputSpec, TilingSpec
from inference.tiling import OVERLAP_SHARE

NO_OTHER_TASK = "the outputs fit no other task: set task in model.toml"
USUAL_TILE = 512  # pixels, for an image-to-image model that takes any size
TOLD_VALUES = 16


@dataclass(frozen=True)
class Found:
    """What was found out of a model, and the `constants` that its further inputs are fed, by the inputs' names."""

    spec: ModelSpec
    constants: Mapping[str, NDArray[np.generic]]


def find_out(name: str, version: str, folder: Path, written: ModelToml, model: Interface,
             own_result: bool = False) -> Found:
    """Decide every fact of a model from its files; with `own_result`, of hooks.py, none about its outputs.

    Raises:
        ModelNotUsable: a fact cannot be found out, or two contradict each other; the text says what to do.
    """
    image = image_input(written, model)
    facts = Facts(list(_claims(folder, written, model)))
    layout = layout_of(facts, image)
    seen = _seen(facts, image, layout, model)
    task: TaskName = facts.decide("task", (ONNX_SHAPES, task_of(seen)), (NO_OTHER_TASK, "tensor"))
    facts.claims = [*facts.claims, Claims(ONNX_SHAPES, outputs_of(task, seen))]
    image_spec = input_spec(facts, image, layout, any_size=task == "image-to-image")
    output = OutputSpec({}) if own_result else output_spec(facts, task, image_spec, seen)
    labels = given_labels(facts) if own_result else labels_of(facts, task, output, seen)
    fed = constants(written, model, image.tensor, image_spec.size)
    for key, value in fed.items():
        facts.pick(f"constants.{key}", (MODEL_TOML if key in written.constants else DEFAULT, _told(value)))
    tiling = _tiling(facts, written, task, image_spec)
    return Found(ModelSpec(name, version, task, labels, image_spec, output, tiling, tuple(facts.findings)), fed)


def providers_of(written: ModelToml) -> tuple[str, ...]:
    return written.providers or (CPU,)


def threads_of(written: ModelToml) -> int:
    return written.threads or 1


def _claims(folder: Path, written: ModelToml, model: Interface) -> Iterator[Claims]:
    """Every source's claims, the best source first. A further kind of export is entered here."""
    yield toml.claims(written)
    for claims in (text_files.labels_txt(folder), ultralytics.claims(model),
                   preprocessor.claims(folder), hugging_face.claims(folder, model),
                   timm.claims(folder)):
        if claims is not None:
            yield claims


def _seen(facts: Facts, image: ImageInput, layout: Layout, model: Interface) -> Seen:
    labels = facts.first("labels")
    return Seen({output.name: output for output in model.outputs}, layout, image.sides(layout),
                channels_of(facts, image, layout), size_claimed(facts, image, layout),
                None if labels is None else len(labels))


def _told(values: NDArray[np.generic]) -> Any:
    """A constant as a person would write it."""
    if values.size and (values == values.flat[0]).all():
        return values.flat[0].item()
    return values.tolist() if values.size <= TOLD_VALUES else f"{values.size} values"


def _tiling(facts: Facts, written: ModelToml, task: TaskName, image: InputSpec) -> TilingSpec | None:
    """The tiles that model.toml asks for. An image-to-image model is tiled anyway: one of a fixed size would shrink
    every photograph, one of any size would take memory by the megapixel."""
    table = written.tiling
    if table is None and task != "image-to-image":
        return None
    if task == "tensor":
        raise ModelNotUsable(f"model.toml, tiling: the results of {task} cannot be put together from tiles: "
                             "remove [tiling]")
    tile = (table.tile, table.tile) if table and table.tile else image.size
    if tile is None and task == "image-to-image":
        tile = rounded_up((USUAL_TILE, USUAL_TILE), image.multiple_of)
    if tile is None:
        raise ModelNotUsable("the tiles' size cannot be found out: add tile = 512 below [tiling] in model.toml")
    overlap = table.overlap if table and table.overlap is not None else min(tile) // OVERLAP_SHARE
    batch = table.batch if table else None
    spec = TilingSpec(tile, overlap, batch or image.batch or 1)
    _check_tiling(spec, image)
    facts.pick("tiling", (MODEL_TOML if table else DEFAULT,
                          {"tile": list(tile), "overlap": overlap, "batch": spec.batch}))
    return spec


def _check_tiling(spec: TilingSpec, image: InputSpec) -> None:
    if image.batch is not None and spec.batch != image.batch:
        raise ModelNotUsable(f"model.toml, tiling.batch: the model takes exactly {image.batch} images at a time: "
                             "remove batch, or export the model with a dynamic batch")
    if spec.overlap >= min(spec.tile):
        raise ModelNotUsable(f"model.toml, tiling.overlap: {spec.overlap} pixels are a whole tile: write fewer")
    if image.size is None and spec.tile[0] % image.multiple_of:
        raise ModelNotUsable(f"model.toml, tiling.tile: the model takes sides that are multiples of "
                             f"{image.multiple_of}: write such a number")
