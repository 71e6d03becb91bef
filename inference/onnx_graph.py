"""The operators of an ONNX file, read from its bytes without its weights: what is done to an input first, and what
makes an output.

An ONNX file is a protocol-buffers message: https://protobuf.dev/programming-guides/encoding, with the fields of
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. onnxruntime tells nothing of operators, and the package `onnx`
would read all weights into memory.
"""

import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

MODEL_GRAPH, GRAPH_NODE, GRAPH_INITIALIZER = 7, 1, 5
NODE_INPUT, NODE_OUTPUT, NODE_NAME, NODE_OP, NODE_ATTRIBUTE = 1, 2, 3, 4, 5
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH = 5, 6
TENSOR_DIMS, TENSOR_TYPE, TENSOR_FLOATS, TENSOR_NAME, TENSOR_RAW = 1, 2, 4, 8, 9
FLOAT, DOUBLE = 1, 11  # TensorProto.DataType
VARINT, BYTES, FIXED_SIZES = 0, 2, {1: 8, 5: 4}  # wire types, and the bytes of those of one size
MOST_VALUES = 16  # of a constant that is read: one a channel, or one for all
# What changes where numbers stand, or their type, and not what they mean.
MOVES = ("Cast", "Concat", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose",
         "Unsqueeze", "Pad", "Resize", "Upsample", "Dropout")
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

    def maker(self, output: str) -> str:
        """The operator that made an output's numbers, "" where it is not known."""
        makers = {name: node for node in self.nodes for name in node.outputs}
        for _ in self.nodes:
            node = makers.get(output)
            if node is None:
                return ""
            if node.op not in MOVES:
                return node.op
            output = node.inputs[0]
        return ""

    def first(self, name: str) -> tuple[str, tuple[float, ...]] | None:
        """The first operator on an input, and the numbers that it applies to each pixel; None where it is another
        kind of operator."""
        for _ in self.nodes:
            readers = [node for node in self.nodes if name in node.inputs]
            if len(readers) != 1:
                return None
            [node] = readers
            if node.op in MOVES:
                name = node.outputs[0]
                continue
            values = next((self.constants[given] for given in node.inputs if given in self.constants), None)
            return None if values is None or node.op not in ("Mul", "Div", "Sub", "Add") else (node.op, values)
        return None


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
    """A tensor's name, and its numbers where they are few floats."""
    name, kind, numbers = "", FLOAT, None
    for number, value in _fields(view):
        if number == TENSOR_NAME and isinstance(value, memoryview):
            name = _text(value)
        elif number == TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif number in (TENSOR_RAW, TENSOR_FLOATS):
            numbers = value
    if isinstance(numbers, int):  # one float that is written alone
        return name, None
    letter, size = ("d", 8) if kind == DOUBLE else ("f", 4)
    if numbers is None or kind not in (FLOAT, DOUBLE) or not 0 < len(numbers) <= MOST_VALUES * size:
        return name, None
    return name, struct.unpack(f"<{len(numbers) // size}{letter}", numbers[:len(numbers) // size * size])


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
