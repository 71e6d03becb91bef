"""Which output tells the depth of each pixel."""

from inference.findings.sources.seen import INTEGERS, Facts, Seen
from inference.spec import TensorInfo

PREDICTED_DEPTH = "predicted_depth"  # Hugging Face's name


def tells_depth(seen: Seen) -> bool:
    """Whether an output's name proves that the model estimates depth."""
    return PREDICTED_DEPTH in seen.outputs


def depth_facts(seen: Seen) -> Facts:
    """The output of that name, else the only one that is one plane."""
    planes = [PREDICTED_DEPTH] if tells_depth(seen) else [name for name, tensor in seen.outputs.items()
                                                          if _is_plane(tensor)]
    return {"names": {"depth": planes[0]}} if len(planes) == 1 else {}


def _is_plane(tensor: TensorInfo) -> bool:
    """[batch, h, w], [batch, 1, h, w] or [batch, h, w, 1] of fractions."""
    shape = tensor.shape
    return tensor.datatype not in INTEGERS and (len(shape) == 3 or (len(shape) == 4 and 1 in (shape[1], shape[3])))
