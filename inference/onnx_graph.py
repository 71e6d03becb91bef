"""The operators of an ONNX file, read from its bytes without its weights: what is done to an input first, and what
makes an output.

An ONNX file is a protocol-buffers message: https://protobuf.dev/programming-guides/encoding, with the fields of
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. onnxruntime tells nothing of operators, and the package `onnx`
would read all weights into memory.
"""

import mmap
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

MODEL_GRAPH, GRAPH_NODE, GRAPH_INITIALIZER = 7, 1, 5
NODE_INPUT, NODE_OUTPUT, NODE_NAME, NODE_OP, NODE_ATTRIBUTE = 1, 2, 3, 4, 5
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH = 5, 6
TENSOR_DIMS, TENSOR_TYPE, TENSOR_FLOATS, TENSOR_INTEGERS, TENSOR_NAME, TENSOR_RAW = 1, 2, 4, 5, 8, 9
FLOAT, UINT8, INT8, DOUBLE = 1, 2, 3, 11  # TensorProto.DataType
LETTERS = {FLOAT: "f", UINT8: "B", INT8: "b", DOUBLE: "d"}  # of struct
VARINT, BYTES, FIXED_SIZES = 0, 2, {1: 8, 5: 4}  # wire types, and the bytes of those of one size
PYTORCH, TF2ONNX, TF2ONNX_ENDS = "pytorch", "tf2onnx", re.compile(r"__\d+$")
MOST_VALUES = 16  # of a constant that is read: one a channel, or one for all
# What changes where numbers stand, or their type, and not what they mean.
MOVES = ("Cast", "Concat", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose",
         "Unsqueeze", "Pad", "Resize", "Upsample", "Dropout", "QuantizeLinear", "DequantizeLinear")
OF_WHOLE_NUMBERS = "QLinear"  # what an operator's name begins with that works on quantised numbers
SCALINGS = ("Mul", "Div", "Sub", "Add")
Buffer = memoryview
Field = tuple[int, int | Buffer]  # its number and value


@dataclass(frozen=True)
class Node:
    """One operator, with the names of the tensors that it takes and makes, and its own, which often tells the layer."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    name: str = ""


@dataclass(frozen=True)
class Graph:
    """All operators in the order in which they run; `constants` are the numbers of small weights, by name. An empty
    graph tells nothing."""

    nodes: tuple[Node, ...] = ()
    constants: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    inner_reads: frozenset[str] = frozenset()  # what the bodies of loops and branches take

    def reads(self, name: str) -> bool:
        """Whether any operator takes this tensor; True where the operators are not known."""
        return not self.nodes or name in self.inner_reads or any(name in node.inputs for node in self.nodes)

    def mentions(self, word: str) -> bool:
        """Whether the name of any operator has this word."""
        return any(word in node.name.lower() for node in self.nodes)

    @property
    def exporter(self) -> str:
        """Which of two exporters named the operators: PyTorch by modules, "/features/Conv", tf2onnx by numbers at the
        end, "conv/Conv2D__12"; "" where the names tell neither."""
        names = [node.name for node in self.nodes]
        if any(name.startswith("/") for name in names):
            return PYTORCH
        return TF2ONNX if any(TF2ONNX_ENDS.search(name) for name in names) else ""

    def maker(self, output: str) -> str:
        """The operator that made an output's numbers, "" where it is not known."""
        makers = {name: node for node in self.nodes for name in node.outputs}
        for _ in self.nodes:
            node = makers.get(output)
            if node is None:
                return ""
            if node.op not in MOVES:
                return node.op.removeprefix(OF_WHOLE_NUMBERS)
            output = node.inputs[0]
        return ""

    def first(self, name: str) -> tuple[str, tuple[float, ...]] | None:
        """The first operator on an input, and the numbers that it applies to each pixel; None where it is another
        kind of operator."""
        node = self._first(name, MOVES)
        return None if node is None else self._scaling(node)

    def resizes(self, name: str) -> bool:
        """Whether the first that is done to an input is to resize it to given sides."""
        node = self._first(name, tuple(op for op in MOVES if op != "Resize"))
        return node is not None and node.op == "Resize" and len(node.inputs) == 4

    def quantum(self, output: str) -> tuple[float, float] | None:
        """The whole numbers of an output that stand for 0 and 1; None for an output of fractions."""
        maker = next((node for node in self.nodes if output in node.outputs), None)
        if maker is None or maker.op != "QuantizeLinear":
            return None
        steps, zeros = (self.constants.get(part, ()) for part in (*maker.inputs, "")[1:3])
        return ((zeros or (0.0,))[0], (zeros or (0.0,))[0] + 1 / steps[0]) if len(steps) == 1 else None

    def _first(self, name: str, passed: tuple[str, ...]) -> Node | None:
        """The only operator on an input beside those that are passed over; what asks for its shape does nothing."""
        for _ in self.nodes:
            readers = [node for node in self.nodes if name in node.inputs and node.op != "Shape"]
            if len(readers) > 1 and all(node.op == "Slice" for node in readers):  # channels in another order
                readers = [node for node in self.nodes if any(part.outputs[0] in node.inputs for part in readers)]
            if len(readers) != 1 or readers[0].op not in passed:
                return readers[0] if len(readers) == 1 else None
            name = readers[0].outputs[0]
        return None

    def _scaling(self, node: Node) -> tuple[str, tuple[float, ...]] | None:
        """The operator and its numbers, where it applies such to each pixel."""
        op = node.op.removeprefix(OF_WHOLE_NUMBERS)
        values = (next(filter(None, map(self._numbers, node.inputs)), None) if op == node.op
                  else self._dequantized(*node.inputs[3:6]))
        return None if values is None or op not in SCALINGS else (op, values)

    def _numbers(self, name: str) -> tuple[float, ...] | None:
        """A constant, also one that is kept as whole numbers."""
        maker = next((node for node in self.nodes if node.op == "DequantizeLinear" and name in node.outputs), None)
        return self.constants.get(name) if maker is None else self._dequantized(*maker.inputs)

    def _dequantized(self, name: str, step: str, zero: str = "") -> tuple[float, ...] | None:
        values, steps, zeros = (self.constants.get(part, ()) for part in (name, step, zero))
        if not values or len(steps) != 1:
            return None
        return tuple((value - (zeros or (0,))[0]) * steps[0] for value in values)


def read_graph(path: Path) -> Graph:
    """The operators of a file; an empty graph where it is none that can be read, which onnxruntime says better."""
    try:
        with path.open("rb") as file:  # the map ends with the last view of it
            return _graph_of_model(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except (ValueError, IndexError, KeyError, struct.error, UnicodeDecodeError):
        return Graph()


def _graph_of_model(view: Buffer) -> Graph:
    for number, value in _fields(view):
        if number == MODEL_GRAPH and isinstance(value, memoryview):
            return _graph(value)
    return Graph()


def _graph(view: Buffer) -> Graph:
    nodes: list[Node] = []
    constants: dict[str, tuple[float, ...]] = {}
    inner: set[str] = set()
    for number, value in _fields(view):
        if number == GRAPH_NODE and isinstance(value, memoryview):
            node, written, reads = _node(value)
            nodes.append(node)
            inner |= reads
            if node.op == "Constant" and written is not None and node.outputs:
                constants[node.outputs[0]] = written
        elif number == GRAPH_INITIALIZER and isinstance(value, memoryview):
            name, numbers = _tensor(value)
            constants |= {name: numbers} if numbers is not None else {}
    return Graph(tuple(node for node in nodes if node.op != "Constant"), constants, frozenset(inner))


def _node(view: Buffer) -> tuple[Node, tuple[float, ...] | None, set[str]]:
    """The operator, the numbers of a Constant, and what the graphs inside of it read."""
    inputs: list[str] = []
    outputs: list[str] = []
    op, name, written, inner = "", "", None, set[str]()
    for number, value in _fields(view):
        if not isinstance(value, memoryview):
            continue
        if number == NODE_INPUT:
            inputs.append(_text(value))
        elif number == NODE_OUTPUT:
            outputs.append(_text(value))
        elif number == NODE_NAME:
            name = _text(value)
        elif number == NODE_OP:
            op = _text(value)
        elif number == NODE_ATTRIBUTE:
            for part, content in _fields(value):
                if part == ATTRIBUTE_TENSOR and isinstance(content, memoryview):
                    written = _tensor(content)[1]
                elif part == ATTRIBUTE_GRAPH and isinstance(content, memoryview):
                    body = _graph(content)
                    inner |= body.inner_reads.union(*(node.inputs for node in body.nodes))
    return Node(op, tuple(inputs), tuple(outputs), name), written, inner


def _tensor(view: Buffer) -> tuple[str, tuple[float, ...] | None]:
    """A tensor's name, and its numbers where they are few."""
    name, kind, numbers = "", FLOAT, None
    written: tuple[float, ...] | None = None
    for number, value in _fields(view):
        if number == TENSOR_NAME and isinstance(value, memoryview):
            name = _text(value)
        elif number == TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif number in (TENSOR_RAW, TENSOR_FLOATS) and isinstance(value, memoryview):
            numbers = value
        elif number == TENSOR_INTEGERS:
            written = (value,) if isinstance(value, int) else _integers(value)
    return name, written if kind in (UINT8, INT8) and written else _unpacked(numbers, kind)


def _unpacked(numbers: Buffer | None, kind: int) -> tuple[float, ...] | None:
    if numbers is None or kind not in LETTERS:
        return None
    size = struct.calcsize(LETTERS[kind])
    if not 0 < len(numbers) <= MOST_VALUES * size:
        return None
    return struct.unpack(f"<{len(numbers) // size}{LETTERS[kind]}", numbers[:len(numbers) // size * size])


def _integers(view: Buffer) -> tuple[float, ...] | None:
    """Few numbers that are written one after the other, negative ones as those of 64 bits."""
    found, at = list[float](), 0
    while at < len(view) and len(found) < MOST_VALUES:
        value, at = _varint(view, at)
        found.append(value - (1 << 64) if value >> 63 else value)
    return tuple(found) if at == len(view) else None


def _text(view: Buffer) -> str:
    return bytes(view).decode()


def _fields(view: Buffer) -> Iterator[Field]:
    """The fields of a message, each with its number; nothing of a long one is copied."""
    at = 0
    while at < len(view):
        tag, at = _varint(view, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = _varint(view, at)
            yield tag >> 3, value
            continue
        size, at = _varint(view, at) if kind == BYTES else (FIXED_SIZES[kind], at)
        yield tag >> 3, view[at:at + size]
        at += size


def _varint(view: Buffer, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
