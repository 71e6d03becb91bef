"""Which output is a vector of features."""

from inference.findings.sources.seen import Facts, Seen, first
from inference.spec import TensorInfo

EMBEDDINGS = ("image_embeds", "embedding", "feature", "pooler_output", "last_hidden_state")  # the best first


def embedding(seen: Seen) -> TensorInfo | None:
    """The output that its name tells; a classifier's logits beside it come first."""
    if "logits" in seen.outputs:
        return None
    for word in EMBEDDINGS:
        for name, tensor in seen.outputs.items():
            if word in name.lower() and len(tensor.shape) in (2, 3, 4):
                return tensor
    return None


def feature_facts(seen: Seen) -> Facts:
    """The output of features: by its name, else the first vector, else the first."""
    vector = next((tensor for tensor in seen.outputs.values() if len(tensor.shape) == 2), None)
    found = embedding(seen) or vector or first(seen)
    return {"names": {"embedding": found.name}} if found is not None else {}
