"""What onnxruntime says when a file cannot be loaded -> one plain sentence with what to do. Pure."""

import re

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
    (r"Failed to allocate|bad_alloc|out of memory",
     "there is not enough memory for it: a smaller model, or a machine with more"),
)
# "[ONNXRuntimeError] : 1 : FAIL : Load model from x failed:/onnxruntime_src/…cc:46 void f(const std::string&) Text"
PREFIX = re.compile(r"^(\[ONNXRuntimeError\] : \d+ : \w+ : )?(Load model from \S+ failed:)?\s*")
INSIDE = re.compile(r"/\S*\.(?:cc|h):\d+ .*?\)(?: const)? (?=[A-Z])")
MAX_REST = 200  # characters of a text that is not known


def plain(text: str, file_name: str) -> str:
    """One sentence about `file_name`, of which onnxruntime said `text`."""
    line = " ".join(text.split())
    for pattern, sentence in SENTENCES:
        found = re.search(pattern, line)
        if found:
            return f"{file_name} cannot be loaded: {sentence.format(*found.groups())}"
    rest = INSIDE.sub("", PREFIX.sub("", line))[:MAX_REST].rstrip(". ")
    return f"{file_name} cannot be loaded: onnxruntime says '{rest}': export it again"
