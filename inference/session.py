"""A loaded ONNX model. The only import of onnxruntime."""

import os
import re

# Before the imports below, which read them. Telemetry starts a thread, and a process that forks with it dies by
# SIGABRT; OpenBLAS would start one thread for each further core.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from inference import onnx_errors
from inference.call_off import CallOff
from inference.errors import InferenceError, InferenceFailed, ModelNotUsable
from inference.model_names import forms
from inference.onnx_graph import read_graph
from inference.repository import may_be_weights
from inference.spec import MAPS, Interface, TensorInfo

CPU = "CPUExecutionProvider"
VERSION: str = ort.__version__
# What skl2onnx's ZipMap makes, and Custom Vision: for each image a map from labels, or from their numbers, to scores.
MAPS_TYPE = re.compile(r"seq\(map\((string|int64),tensor\((float|double)\)\)\)")
DIGITS = re.compile(r"[0-9]{1,9}")
QUIET = 3  # errors only: ORT's warnings about foreign models are no use to an operator
# onnxruntime's names -> those of the Open Inference Protocol, which people know.
DATATYPES = {"float": "FP32", "float16": "FP16", "double": "FP64", "uint8": "UINT8", "int8": "INT8",
             "int32": "INT32", "int64": "INT64", "bool": "BOOL"}
LFS_POINTER = b"version https://git-lfs"


class Session:
    """An onnxruntime session on one file. `run` may be called from several threads at once."""

    def __init__(self, path: Path, providers: Sequence[str] = (CPU,), threads: int = 1) -> None:
        """Load `path`.

        Raises:
            ModelNotUsable: missing provider, unreadable file, operator that onnxruntime does not know.
        """
        _check_providers(providers)
        _check_file(path)
        options, weights = _options(threads), _weights_beside(path)
        try:
            options.add_external_initializers_from_files_in_memory(
                list(weights), list(weights.values()), [len(data) for data in weights.values()])
            self._session = ort.InferenceSession(str(path), options, providers=list(providers))
        except Exception as error:  # onnxruntime's exceptions share no base but Exception
            raise ModelNotUsable(onnx_errors.plain(str(error), path.name)) from error
        written = self._session.get_modelmeta()
        self.interface = Interface(tuple(map(_tensor_info, self._session.get_inputs())),
                                   tuple(map(_tensor_info, self._session.get_outputs())),
                                   written.custom_metadata_map, written.producer_name, read_graph(path))

    def run(self, feeds: Mapping[str, NDArray], call_off: CallOff | None = None) -> dict[str, NDArray[np.generic]]:
        """The outputs by name, in the file's order, for one array per input; a sequence of maps is an array of dicts.

        Raises:
            InferenceFailed: onnxruntime refused the feeds or the model failed on them.
            InferenceError: the reason with which `call_off` was called.
        """
        options, call_off = ort.RunOptions(), call_off or CallOff()
        try:
            with call_off.ending(options):
                values = self._session.run(None, dict(feeds), options)
        except InferenceError:
            raise  # it was called off before it began
        except Exception as error:
            call_off.check()
            raise InferenceFailed(onnx_errors.failed(str(error))) from error
        arrays = (value if isinstance(value, np.ndarray) else np.asarray(value, object) for value in values)
        return dict(zip((output.name for output in self.interface.outputs), arrays, strict=True))


def _options(threads: int) -> ort.SessionOptions:
    """Sequential, without spinning: parallel mode hung after a fork, and spinning takes cores from other processes."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = QUIET
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _weights_beside(path: Path) -> dict[str, bytes]:
    """The files beside a model that it names as its weights. onnxruntime would map them into memory for as long as
    the model is served: a process dies by SIGBUS when such a file is overwritten in place."""
    others = [file for file in path.parent.iterdir() if file != path and may_be_weights(file) and file.is_file()]
    model = path.read_bytes() if others else b""
    found = {name: file.read_bytes() for file in others for name in forms(file.name) if os.fsencode(name) in model}
    for name, data in found.items():
        if data.startswith(LFS_POINTER):
            raise ModelNotUsable(f"{name} is a Git LFS pointer, not the model's weights: run 'git lfs pull'")
    return found


def _check_providers(providers: Sequence[str]) -> None:
    missing = [name for name in providers if name not in ort.get_available_providers()]
    if missing:
        raise ModelNotUsable(f"provider {missing[0]} is not part of this onnxruntime; "
                             f"it has {', '.join(ort.get_available_providers())}. docs/gpu.md says how "
                             "another build is installed")


def _check_file(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(len(LFS_POINTER))
    if not head:
        raise ModelNotUsable(f"{path.name} is empty: copy the model again")
    if head == LFS_POINTER:
        raise ModelNotUsable(f"{path.name} is a Git LFS pointer, not a model: run 'git lfs pull'")


def _tensor_info(node: ort.NodeArg) -> TensorInfo:
    """Raises ModelNotUsable: what cannot be read as arrays."""
    if MAPS_TYPE.fullmatch(node.type):
        return TensorInfo(node.name, (), MAPS)
    if not node.type.startswith("tensor("):
        raise ModelNotUsable(f"'{node.name}' is no tensor but of the type {node.type}: export the model so that it "
                             "takes and gives tensors alone")
    kind = node.type.removeprefix("tensor(").removesuffix(")")
    return TensorInfo(node.name, tuple(map(_side, node.shape)), DATATYPES.get(kind, kind))


def _side(side: int | str | None) -> int | str | None:
    """A dimension. Some exporters write the number of a fixed one as its name: "224"."""
    return int(side) if isinstance(side, str) and DIGITS.fullmatch(side) else side
