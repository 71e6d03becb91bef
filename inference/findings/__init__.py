"""What a model is, decided from its files. `facts.py` keeps the record of where each decision came from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import InferenceError, InferenceFailed, ModelNotUsable
from inference.evidence import Evidence
from inference.findings.assumptions import usual_crop, usual_values, warn_of_family
from inference.findings.facts import Facts
from inference.findings.input_facts import channels_of, input_spec, layout_of, size_claimed
from inference.findings.multiple_facts import multiples_shown
from inference.findings.output_facts import given_labels, labels_of, output_spec
from inference.findings.parameter_facts import caller_parameters, record, values_of
from inference.findings.sources import (
    DEFAULT,
    HOOKS_PY,
    ONNX_SHAPES,
    TEST_IMAGE,
    Claims,
    hugging_face,
    image_metadata,
    onnx_planes,
    preprocessor,
    text_files,
    timm,
    toml,
    ultralytics,
)
from inference.findings.sources.onnx_graph import preprocessed_inside, resized_inside
from inference.findings.sources.onnx_inputs import ImageInput, constants, image_input, own_image_input, stand_ins
from inference.findings.sources.onnx_outputs import class_count, colors_or_classes, outputs_of, task_of
from inference.findings.sources.seen import Seen
from inference.findings.sources.test_images import makes_mask, moves_with_image, shown_by
from inference.findings.tiling_facts import tiling_of
from inference.model_toml import MODEL_TOML, Layout, ModelToml, TaskName
from inference.session import CPU
from inference.spec import CallerParameter, InputSpec, Interface, ModelSpec, OutputSpec

NO_OTHER_TASK = "the outputs fit no other task: set task in model.toml"
# Pixels of a test image for a model that takes any size, and then of one that takes a single size and does not tell it.
TEST_SIDES = (224, 256, 384, 512, 640, 448, 320, 128, 96, 64, 32, 299, 1024)
TOLD_VALUES = 16


@dataclass(frozen=True)
class Found:
    """What was found out of a model, and the `constants` that its further inputs are fed, by the inputs' names.
    `answers` are the outputs for the first test image, where it was made as this spec says."""

    spec: ModelSpec
    constants: Mapping[str, NDArray[np.generic]]
    answers: Mapping[str, NDArray[np.generic]] | None = None


class Incomplete(ModelNotUsable):
    """Facts are missing, or contradict the model. `suggested` has what is suggested in their place, None where that
    cannot be tried: nobody but its owner can tell the labels, and what contradicts the model is to be mended first."""

    def __init__(self, reason: str, suggested: Found | None) -> None:
        super().__init__(reason)
        self.suggested = suggested


# Runs the model on test images that are made for an input, with these values of its further inputs.
Look = Callable[[InputSpec, Mapping[str, NDArray[np.generic]]], Evidence]


def find_out(name: str, version: str, folder: Path, written: ModelToml, model: Interface,
             own_result: bool = False, own_input: bool = False, look: Look | None = None) -> Found:
    """Decide every fact of a model from its files, and from what `look` shows of its answers to test images; with
    `own_result`, of hooks.py, none about its outputs, and with `own_input` none about its input.

    Raises:
        ModelNotUsable: facts cannot be found out, or two contradict each other; the text says what to do.
    """
    facts = Facts(list(_claims(folder, written, model)))
    search = _Search(facts, written, model, own_result, own_input, look)
    try:
        found = search.found(name, version)
    except ModelNotUsable:
        facts.check_complete()  # what goes wrong once something is missing may be due to that
        raise
    if facts.reason:
        lacks_labels = any(fact == "labels" for fact, _ in facts.missing)
        raise Incomplete(facts.reason, None if facts.problems or lacks_labels else found)
    return found


@dataclass(frozen=True)
class _Search:
    """What `find_out` works with."""

    facts: Facts
    written: ModelToml
    model: Interface
    own_result: bool
    own_input: bool
    look: Look | None

    def found(self, name: str, version: str) -> Found:
        facts, image = self.facts, self._image()
        layout = layout_of(facts, image)
        seen = self._seen(image, layout)
        task = self._task(seen)
        self._claim_by(task, seen, image)
        if task == "image-to-image" and self.look is not None and not self.own_input:
            values = values_of(self._parameters(image))
            fed = constants(self.written, self.model, image.tensor, None, values)
            facts.claims = [*facts.claims, *multiples_shown(facts, image, layout, self.look, fed)]
        image_spec = self._input_spec(image, layout, any_size=task == "image-to-image")
        output = OutputSpec({}) if self.own_result else output_spec(facts, task, image_spec, seen)
        labels = given_labels(facts) if self.own_result else labels_of(facts, task, output, seen)
        fed = self._constants(image, image_spec)
        has_hooks = self.own_result or self.own_input
        tiling = None if has_hooks else tiling_of(facts, self.written, task, image_spec, moves_with_image(seen))
        spec = ModelSpec(name, version, task, labels, image_spec, output, tiling, parameters=self._parameters(image))
        record(facts, spec, self.written)
        spec = replace(spec, findings=tuple(facts.findings), warnings=tuple(facts.warnings))
        return Found(spec, fed, seen.answers if seen.tested == image_spec else None)

    def _image(self) -> ImageInput:
        """The input that takes the image, with what is known of what it takes."""
        facts, (own, *others) = self.facts, self.facts.claims
        if self.own_input:
            image = own_image_input(self.written, self.model)
            open_sides = {"resize": "fit"} if facts.first("size") is None else {}
            facts.claims = [own, *others, Claims(HOOKS_PY, {"layout": "NCHW", **open_sides})]
            return image
        image = image_input(self.written, self.model)
        facts.claims = [own, *preprocessed_inside(self.model, image.tensor.name), *others,
                        *resized_inside(self.model, image.tensor.name)]
        return image

    def _input_spec(self, image: ImageInput, layout: Layout, any_size: bool) -> InputSpec:
        """What hooks.py makes is believed: of how it becomes the input nothing is told or warned of but what a person
        wrote."""
        if not self.own_input:
            return input_spec(self.facts, image, layout, any_size)
        believed = Facts(self.facts.claims, missing=self.facts.missing, problems=self.facts.problems)
        spec = input_spec(believed, image, layout, any_size)
        self.facts.findings += [finding for finding in believed.findings
                                if finding.source == MODEL_TOML or finding.fact in ("input", "size")]
        return spec

    def _parameters(self, image: ImageInput) -> tuple[CallerParameter, ...]:
        return caller_parameters(self.written, self.model, image.tensor.name, self.own_result or self.own_input)

    def _constants(self, image: ImageInput, spec: InputSpec) -> dict[str, NDArray[np.generic]]:
        parameters = self._parameters(image)
        try:
            fed = constants(self.written, self.model, image.tensor, spec.fixed_size, values_of(parameters),
                            self.own_input)
        except ModelNotUsable as error:
            self.facts.refuse(str(error))  # told with all that is missing
            return {}
        for key, value in fed.items():
            if key not in values_of(parameters):
                source = MODEL_TOML if key in self.written.constants else DEFAULT
                self.facts.pick(f"constants.{key}", (source, _told(value)))
        return fed

    def _task(self, seen: Seen) -> TaskName:
        """The task; asked for where three planes may be an image or classes."""
        planes = "colors" if self.facts.first("task") or self.own_result else colors_or_classes(seen)
        if planes == "unknown":
            return self.facts.pick("task", advice=onnx_planes.ADVICE, stand_in="image-segmentation")
        if planes == "classes" and seen.labels is None:
            self.facts.warn(onnx_planes.WARNING)
        task: TaskName = self.facts.decide("task", (ONNX_SHAPES, task_of(seen)), (NO_OTHER_TASK, "tensor"))
        return task

    def _claim_by(self, task: TaskName, seen: Seen, image: ImageInput) -> None:
        """Add what is known once the task is: what the graph and test images show beats what files say, and shapes are
        asked after them."""
        own, *others = self.facts.claims
        self.facts.claims = [own, *shown_by(task, seen), *others, *outputs_of(task, seen)]
        if not self.own_input:
            classes = class_count(task, {}, seen) if task == "image-classification" else None
            crop = usual_crop(self.facts, classes, seen.size, self.model)
            self.facts.claims = [*self.facts.claims, *crop, *usual_values(
                self.facts, task, self.model, image.tensor, makes_mask(task, seen))]
            warn_of_family(self.facts)

    def _seen(self, image: ImageInput, layout: Layout) -> Seen:
        labels = self.facts.first("labels")
        seen = Seen({output.name: output for output in self.model.outputs}, layout, image.sides(layout),
                    channels_of(self.facts, image, layout), size_claimed(self.facts, image, layout),
                    None if labels is None else len(labels))
        if self.look is None or self.own_result:
            return seen
        return self._with_evidence(self.look, seen, image)

    def _with_evidence(self, look: Look, seen: Seen, image: ImageInput) -> Seen:
        """What test images show, made as the files say so far; nothing where something is missing, which is told
        later. Of the sizes that a model may have whose size nothing tells, the first that it takes will be suggested.
        """
        fails, is_open = False, seen.size is None and self.facts.first("image_size") is None
        for side in TEST_SIDES if is_open else (TEST_SIDES[0],):
            usual = [Claims(DEFAULT, {"size": (side, side)})] if is_open else []
            try:
                spec = input_spec(Facts([*self.facts.claims, *usual]), image, seen.layout, any_size=False)
                unknown = {} if self.own_input else stand_ins(self.model, image.tensor)
                values = {**unknown, **values_of(self._parameters(image))}
                evidence = look(spec, constants(self.written, self.model, image.tensor, spec.fixed_size, values,
                                                self.own_input))
            except InferenceError as error:
                fails = isinstance(error, InferenceFailed)
                continue
            self.facts.claims = [*self.facts.claims, Claims(TEST_IMAGE, {"suggested_side": side})]
            return replace(seen, tested=spec, evidence=evidence)
        if is_open and fails:
            self.facts.claims = [*self.facts.claims, Claims(TEST_IMAGE, {"refused_sides": TEST_SIDES})]
        return seen


def constants_of(written: ModelToml, model: Interface, spec: ModelSpec,
                 own_input: bool) -> dict[str, NDArray[np.generic]]:
    """What the further inputs of a model are fed whose facts are decided. Raises ModelNotUsable."""
    image = next(tensor for tensor in model.inputs if tensor.name == spec.input.name)
    return constants(written, model, image, spec.input.fixed_size, values_of(spec.parameters), own_input)


def providers_of(written: ModelToml) -> tuple[str, ...]:
    return written.providers or (CPU,)


def threads_of(written: ModelToml) -> int:
    return written.threads or 1


def _claims(folder: Path, written: ModelToml, model: Interface) -> Iterator[Claims]:
    """Every source's claims, the best source first. A further kind of export is entered here."""
    yield toml.claims(written)
    for claims in (text_files.labels_txt(folder), ultralytics.claims(model), image_metadata.claims(model),
                   preprocessor.claims(folder), hugging_face.claims(folder, model),
                   timm.claims(folder)):
        if claims is not None:
            yield claims


def _told(values: NDArray[np.generic]) -> Any:
    """A constant as a person would write it."""
    if values.size and (values == values.flat[0]).all():
        return values.flat[0].item()
    return values.tolist() if values.size <= TOLD_VALUES else f"{values.size} values"
