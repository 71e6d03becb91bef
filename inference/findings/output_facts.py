"""Decides what the model's numbers mean: labels, and what each task reads of its outputs."""

import math
from collections.abc import Mapping
from typing import Any

from inference.boxes.encodings import ON_A_GRID
from inference.boxes.rows import own_numbers
from inference.boxes.stacks import stack_name
from inference.errors import ModelNotUsable
from inference.findings.cell_facts import Stacks, cell_facts, laid_together
from inference.findings.facts import Candidate, Facts
from inference.findings.keypoint_facts import keypoint_output, label_of_image
from inference.findings.sources import DEFAULT, LABELS_TXT
from inference.findings.sources.onnx_outputs import class_count
from inference.findings.sources.seen import Seen
from inference.model_toml import MODEL_TOML, Columns, TaskName
from inference.spec import InputSpec, OutputSpec

BACKGROUNDS = ("background", "__background__", "_background_", "n/a", "no-object", "no object", "no_object")
NUMBERED = "numbered"
LABELS_ADVICE = f'write one label a line into {LABELS_TXT}, or add labels = ["…"] to model.toml'
COLUMNS_ADVICE = ('add columns = "box scores" (or "box objectness scores", "box score class") below [output] in '
                  'model.toml, or boxes = "…" and scores = "…" below [output.names] where they are two outputs')
ON_CELLS_ADVICE = 'add boxes = "ltrb" (or "grid", "dfl", "xyxy", "cxcywh") below [output] in model.toml'
ADVICE = {
    "boxes": 'add boxes = "xyxy" (or "xywh", "cxcywh", "yxyx") below [output] in model.toml',
    "units": 'add units = "pixels" (or "normalised") below [output] in model.toml',
    "activation": 'add activation = "softmax" and background = "last" (DETR), or activation = "sigmoid" (RT-DETR), '
                  "below [output] in model.toml",
}

STAND_INS = {"boxes": "xyxy", "units": "pixels", "activation": "sigmoid", "columns": "box scores"}


def output_spec(facts: Facts, task: TaskName, image: InputSpec, seen: Seen) -> OutputSpec:
    """Every fact of the outputs that the task reads.

    Raises:
        ModelNotUsable: a fact cannot be found out, or model.toml names an output that the model has not.
    """
    names, stacks = _names(facts, seen) if task != "tensor" else ({}, {})
    seen = laid_together(seen, stacks)
    if task == "keypoint-detection":
        boxes = {} if "heatmaps" in names else _detection(facts, names, stacks, seen)
        return OutputSpec(names, **boxes, **keypoint_output(facts, names, seen))
    objects = OutputSpec(names, columns=facts.first("columns")).tells_objects
    if task == "object-detection" or (task == "image-segmentation" and objects):
        return OutputSpec(names, **_detection(facts, names, stacks, seen))
    if task == "image-segmentation" and "queries" in names:
        return OutputSpec(names, **_queries(facts))
    if task == "image-segmentation":
        return OutputSpec(names, activation=facts.decide("activation", (DEFAULT, "softmax")),
                          background=facts.decide("background", _named_background(facts), (DEFAULT, "none")))
    if task == "image-classification":
        activation = (DEFAULT, "none" if "classes" in names else "softmax")
        whole: dict[str, Any] = {"range": _checked_range(facts, facts.decide("range"))} if facts.first("range") else {}
        return OutputSpec(names, activation=facts.decide("activation", activation), **whole)
    if task == "image-feature-extraction":
        return OutputSpec(names, normalize=facts.decide("normalize", (DEFAULT, False)))
    if task == "image-to-image":
        return OutputSpec(names, range=_range(facts, image))
    if task == "depth-estimation":
        return OutputSpec(names, interpolation=facts.decide("interpolation", (DEFAULT, "bicubic")))
    return OutputSpec(names)


def labels_of(facts: Facts, task: TaskName, output: OutputSpec, seen: Seen) -> tuple[str, ...]:
    """One label a class; of a detector without the background.

    Raises:
        ModelNotUsable: no source has them, and nothing can stand in.
    """
    if task in ("tensor", "depth-estimation", "image-to-image", "image-feature-extraction"):
        return ()
    if "heatmaps" in output.names:
        return label_of_image(facts, output)
    seen = laid_together(seen, output.stacks)
    meaning: dict[str, Any] = {"names": output.names, "further": own_numbers(output), "bins": output.bins}
    meaning |= {"columns": output.columns} if output.columns else {}
    classes = class_count(task, meaning, seen)
    if task == "image-segmentation" and not output.tells_objects and "queries" not in output.names:
        labels = _all_labels(facts, classes)
        with_background = classes == 1 and len(labels) == 2 and _is_background(labels[0])
        return _checked(facts, labels[1:] if with_background else labels, classes)
    if task == "image-classification" and "classes" in output.names:
        return given_labels(facts)  # how many there are is not told
    if task == "image-classification":
        return _checked(facts, _all_labels(facts, classes), classes)
    return _of_detector(facts, output, classes)


def given_labels(facts: Facts) -> tuple[str, ...]:
    """The labels that any source has, whatever the outputs look like."""
    return tuple(facts.decide("labels", (NUMBERED, ())))


def _all_labels(facts: Facts, classes: int | None) -> tuple[str, ...]:
    numbered = None if classes is None else tuple(map(str, range(classes)))
    return tuple(facts.decide("labels", (NUMBERED, numbered), advice=LABELS_ADVICE, stand_in=("?",)))


def _of_detector(facts: Facts, output: OutputSpec, classes: int | None) -> tuple[str, ...]:
    """The background's own label may be among those that were given."""
    if classes is not None and output.background != "none":
        classes -= 1
    if classes is None and output.names_classes and not facts.known("labels"):
        return facts.pick("labels", (NUMBERED, ()))  # its rows name classes by number
    labels = _all_labels(facts, classes)
    end = {"first": 0, "last": -1}.get(output.background)
    if end is not None and labels and (len(labels) - 1 == classes or (classes is None and _is_background(labels[end]))):
        labels = labels[1:] if end == 0 else labels[:-1]
    return _checked(facts, labels, classes)


def _checked(facts: Facts, labels: tuple[str, ...], classes: int | None) -> tuple[str, ...]:
    """The labels. Where they are too few or too many, that is told with the file that gave them and both numbers."""
    if classes is not None and len(labels) != classes:
        source = facts.source_of("labels")
        facts.refuse(f"{source}{', labels' * (source == MODEL_TOML)}: {len(labels)} label{'s' * (len(labels) != 1)} "
                     f"for {classes} class{'es' * (classes != 1)}: give exactly one label a class in model.toml or "
                     f"{LABELS_TXT}")
        return tuple(map(str, range(classes)))
    return labels


def _is_background(label: str) -> bool:
    return label.strip().lower() in BACKGROUNDS


def _names(facts: Facts, seen: Seen) -> tuple[Mapping[str, str], Stacks]:
    """Which output is what: those that a person names, the others from the next source. Several of one role are a
    stack, which gets a name of its own."""
    known = facts.known("names")
    for source, names in known:
        for role, named in names.items():
            for name in _listed(named):
                if name not in seen.outputs:
                    facts.refuse(f'{source}, output.names.{role}: the model has no output "{name}"; it has '
                                 f"{', '.join(seen.outputs)}")
    merged = {role: named for _, names in reversed(known) for role, named in names.items()
              if seen.outputs.keys() >= set(_listed(named))}
    if known:
        facts.pick("names", (known[0][0], {role: list(named) if isinstance(named, tuple) else named
                                           for role, named in merged.items()}))
    stacks = {role: named for role, named in merged.items() if isinstance(named, tuple)}
    return {role: stack_name(role) if role in stacks else named for role, named in merged.items()}, stacks


def _listed(named: str | tuple[str, ...]) -> tuple[str, ...]:
    return named if isinstance(named, tuple) else (named,)


# Detection


def _detection(facts: Facts, names: Mapping[str, str], stacks: Stacks, seen: Seen) -> dict[str, Any]:
    """The facts of boxes. Rows of a joined output have YOLO's conventions; two outputs have none to rely on."""
    columns = _columns(facts, names)
    done = OutputSpec(names, columns=columns).names_classes
    are_open = names.get("scores") == "logits" or facts.first("activation_is_open")
    usual: dict[str, Any] = {"boxes": None, "units": None, "background": "none", "threshold": 0.25,
                             "activation": None if are_open else "none",
                             "nms": "none" if done else "per-class"}
    if columns:
        usual |= {"boxes": "xyxy" if done else "cxcywh", "units": "pixels"}
    if facts.first("boxes") in ON_A_GRID:
        usual["units"] = "pixels"
    advice = ADVICE | ({"boxes": ON_CELLS_ADVICE} if stacks else {})
    found = {fact: facts.decide(fact, (DEFAULT, value), advice=advice.get(fact, ""), stand_in=STAND_INS.get(fact))
             for fact, value in usual.items()}
    if found["nms"] != "none":
        found["iou"] = facts.decide("iou", (DEFAULT, 0.7))
    found |= cell_facts(facts, names, stacks, columns, found["boxes"], seen)
    if facts.first("oriented"):
        found["oriented"] = facts.decide("oriented")
    return found | {"columns": columns, "stacks": stacks}


def _columns(facts: Facts, names: Mapping[str, str]) -> Columns | None:
    if facts.first("columns") is None and ("scores" in names or "classes" in names):
        return None
    first, *others = facts.first("columns_choices") or (STAND_INS["columns"],)
    advice = f'add columns = "{first}" (or "{others[0]}") below [output] in model.toml' if others else COLUMNS_ADVICE
    return facts.decide("columns", advice=advice, stand_in=first)


# The other tasks


def _queries(facts: Facts) -> dict[str, Any]:
    """What transformers takes for granted of a segmenter by queries: its last class means "nothing"."""
    usual = {"activation": "softmax", "background": "last", "threshold": 0.5}
    return {fact: facts.decide(fact, (DEFAULT, value)) for fact, value in usual.items()}


def _named_background(facts: Facts) -> Candidate:
    labels: tuple[str, ...] = facts.first("labels") or ()
    return "labels", "first" if len(labels) > 1 and _is_background(labels[0]) else None


def _range(facts: Facts, image: InputSpec) -> tuple[float, float]:
    """A model that makes images makes them as it takes them: what black and white are at its input."""
    pairs = {(round(-mean / std, 6), round((255 * image.scale - mean) / std, 6))
             for mean, std in zip(image.mean, image.std, strict=True)}
    as_input: list[Candidate] = [("as the input", pairs.pop())] if len(pairs) == 1 else []
    return _checked_range(facts, facts.decide("range", *as_input, (DEFAULT, (0.0, 1.0))))


def _checked_range(facts: Facts, pair: tuple[float, float]) -> tuple[float, float]:
    black, white = pair
    if not math.isfinite(white - black) or black == white:
        raise ModelNotUsable(f"{facts.source_of('range')}, output.range: expected two different numbers, the values "
                             "for black and white")
    return black, white
