"""Neither web processes nor workers nor the predictors' parent have numpy and onnxruntime, which cost memory."""

from tests.unit.conftest import in_child

NUMPY_FREE = ("drawing.style", "errors", "spec", "geometry", "tiling", "image", "image_info", "opening",
              "bounded_reads", "formats.header", "formats.heif", "formats.jpeg", "formats.names", "formats.orientation",
              "formats.png", "formats.tiff", "formats.webp", "library_texts", "tiff_pixels", "parameters", "workload",
              "cost", "model_info", "model_names", "repository", "trial", "registry")
PROCESSES = ("api.app", "worker.__main__", "predictors.pool")
AVOIDED = "{'numpy', 'onnxruntime'}"


def seen_after_importing(*names: str) -> dict[str, str]:
    """By module, which of the avoided ones are imported once it is, in a process that imports one after the other."""
    lines = [f"import sys, {name}; print('{name}:', *{AVOIDED} & {{*sys.modules}})" for name in names]
    return dict(line.split(":") for line in in_child("\n".join(lines)).splitlines())


def test_what_checks_and_follows_models_imports_neither_numpy_nor_onnxruntime() -> None:
    names = [f"inference.{name}" for name in NUMPY_FREE]
    assert seen_after_importing(*names) == dict.fromkeys(names, "")


def test_processes_that_hold_no_model_import_neither_numpy_nor_onnxruntime() -> None:
    assert seen_after_importing(*PROCESSES) == dict.fromkeys(PROCESSES, "")


def test_a_module_that_needs_numpy_would_be_seen() -> None:
    assert seen_after_importing("inference.errors", "inference.blending") == {
        "inference.errors": "", "inference.blending": " numpy"}
