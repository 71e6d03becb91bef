"""Decides the tiles that a large image is cut into."""

from inference.errors import ModelNotUsable
from inference.findings.facts import Facts
from inference.findings.sources import DEFAULT, TEST_IMAGE
from inference.geometry import rounded_up
from inference.model_toml import MODEL_TOML, ModelToml, TaskName
from inference.spec import InputSpec, TilingSpec
from inference.tiling import OVERLAP_SHARE

USUAL_TILE = 512  # pixels, for an image-to-image model that takes any size


def tiling_of(facts: Facts, written: ModelToml, task: TaskName, image: InputSpec, moves: bool) -> TilingSpec | None:
    """The tiles that model.toml asks for. An image-to-image model is tiled anyway: one of a fixed size would shrink
    every photograph, one of any size would take memory by the megapixel. One whose image does not move with the posted
    one, as it turns or resizes it or sees all of it at once, is not."""
    table = written.tiling
    if table is None and task == "image-to-image" and not moves:
        facts.pick("tiling", (TEST_IMAGE, "none: what it makes depends on the whole image"))
        return None
    if table is None and task != "image-to-image":
        return None
    by_queries = task == "image-segmentation" and any("queries" in names for _, names in facts.known("names"))
    if task in ("tensor", "depth-estimation") or by_queries:
        raise ModelNotUsable(f"model.toml, tiling: the results of {task}{' by queries' * by_queries} cannot be put "
                             "together from tiles: remove [tiling]")
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
