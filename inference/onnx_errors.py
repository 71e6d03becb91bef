"""What onnxruntime says when a file cannot be loaded, or a model cannot run -> one plain sentence. Pure."""

import re
from collections.abc import Sequence

# Pattern in onnxruntime's text -> the sentence; {0}, {1} are the pattern's groups. The first that is found counts.
SENTENCES = (
    (r"INVALID_PROTOBUF|Protobuf parsing failed",
     "it is truncated, or no ONNX file at all: copy or export it again"),
    (r"Fatal error: (\S+?):?(\w+)\(-?\d+\) is not a registered",
     "it uses the custom operator {0}:{1}, which onnxruntime does not have: export it with standard operators only"),
    (r"No Op registered for (\w+) with domain_version of (\d+)",
     "it uses the operator {0}, which opset {1} does not have: export it with standard operators of another opset"),
    (r"No opset import for domain '(\S+?)'",
     "it uses custom operators of {0}, which onnxruntime does not have: export it with standard operators only"),
    (r"No corresponding Numpy type for Tensor Type",
     "an output is of a type that cannot be read (bfloat16, say): export it in float32"),
    (r"Could not find an implementation for (\w+)\((\d+)\)",
     "onnxruntime cannot compute its operator {0} (opset {1}) with these types: export it in float32"),
    (r"Unsupported model IR version: (\d+), max supported IR version: (\d+)",
     "its IR version {0} is newer than this onnxruntime's {1}: export it with an older onnx, or with a lower opset"),
    (r"Opset (\d+) is under development.*?[Cc]urrent official support for domain [\w.]+ is till opset (\d+)",
     "its opset {0} is newer than this onnxruntime's {1}: export it with opset {1} or lower"),
    (r"only \*guarantees\* support for models stamped with official released onnx opset",
     "its opset is newer than what this onnxruntime knows: export it with a lower one"),
    (r"External data path does not exist: \"?(?:[^\"]*/)?([^\"/]+?)\"?$",
     "its weights {0} are missing: copy that file beside it"),
    (r"out of bounds or can not be read in full",
     "the file with its weights is truncated: copy it again"),
    (r"(?i)external data.*?(?:escape|outside|parent director|absolute)",
     "its weights lie outside of its folder: copy them beside it, and export it with their plain name"),
    (r"Type '(?:tensor\()?(\w+)\)?' of input parameter \(\S*\) of operator \((\w+)\)",
     "its operator {1} is given numbers of the type {0}, which it does not take: export it again"),
    (r"Type parameter \(\w+\) of Optype \((\w+)\) bound to different types",
     "its operator {0} is given numbers of two types: export it again"),
    (r"(?:Node \([^)]*\) Op|In Node, \(\"[^\"]*\",) \(?(\w+).*?\[\w*InferenceError\] \(?(.*?)\)?$",
     "its operator {0} does not fit what it is given ({1}): export it again"),
    (r"Failed to allocate|bad_alloc|out of memory",
     "there is not enough memory for it: a smaller model, or a machine with more"),
)
# The same of a run.
RUNNING = (
    (r"Got invalid dimensions for input: (\S+) for the following indices.*?index: (\d+) Got: (\d+) Expected: (-?\d+)",
     "its input {0} takes a length of {3} on axis {1}, and was fed {2}: write size below [input] in model.toml, or "
     "export it for this size"),
    (r"Invalid rank for input: (\S+) Got: (\d+) Expected: (\d+)",
     "its input {0} takes {2} axes, and was fed {1}"),
    (r"Unexpected input data type. Actual: \(tensor\((\w+)\)\) ?, expected: \(tensor\((\w+)\)\)",
     "an input takes numbers of the type {1}, and was fed {0}"),
    (r"Required inputs \(\[(.*?)\]\) are missing",
     "nothing was fed to its input {0}: write its value below [constants] in model.toml, or give it in hooks.py"),
    (r"Failed to allocate|bad_alloc|out of memory",
     "there is not enough memory for one prediction: write a smaller tile below [tiling] in model.toml, or serve a "
     "smaller model"),
)
IN_OPERATOR = re.compile(r"while running (\w+) node\. Name:'([^']*)' Status Message: (.*)$")
CONDITION = re.compile(r"^.*? was false\.\s*")  # a line of C++ that did not hold
CPP = re.compile(r"::|\.(?:cc|h|cpp):\d+|onnxruntime|\[\w*Error\]")
# "[ONNXRuntimeError] : 1 : FAIL : Load model from x failed:/onnxruntime_src/…cc:46 void f(const std::string&) Text"
PREFIX = re.compile(r"^(\[ONNXRuntimeError\] : \d+ : \w+ : )?(Load model from \S+ failed:)?\s*")
INSIDE = re.compile(r"/\S*\.(?:cc|h):\d+ .*?\)(?: const)?(?: \[with [^\]]*\])? (?=\w)")
MAX_REST = 200  # characters of a text that is not known


def plain(text: str, file_name: str) -> str:
    """One sentence about `file_name`, of which onnxruntime said `text`."""
    line = " ".join(text.split())
    told = _sentence(line, SENTENCES)
    if told is not None:
        return f"{file_name} cannot be loaded: {told}"
    rest = _without_inside(line)
    said = f"onnxruntime says '{rest}'" if rest else "onnxruntime does not take it"
    return f"{file_name} cannot be loaded: {said}: export it again"


def failed(text: str) -> str:
    """One sentence about a run that failed, of which onnxruntime said `text`."""
    line = " ".join(text.split())
    told = _sentence(line, RUNNING)
    if told is not None:
        return f"the model failed: {told}"
    operator = IN_OPERATOR.search(line)
    if operator is None:
        return f"the model failed: {_without_inside(line) or 'onnxruntime does not tell why'}"
    op, name, inside = operator.groups()
    rest = CONDITION.sub("", _without_inside(inside))
    return f"the model failed: its operator {op}{f' ({name})' * bool(name)} cannot work on what it gets" + (
        f": {rest}" if rest else "")


def _sentence(line: str, sentences: Sequence[tuple[str, str]]) -> str | None:
    for pattern, sentence in sentences:
        if found := re.search(pattern, line):
            inside = any(CPP.search(group) for group in found.groups())
            return None if inside else sentence.format(*found.groups())
    return None


def _without_inside(line: str) -> str:
    """What is no place in onnxruntime's source, nor a function there; nothing where that cannot be told apart."""
    rest = INSIDE.sub("", PREFIX.sub("", line))[:MAX_REST].rstrip(". ")
    return "" if CPP.search(rest) else rest
