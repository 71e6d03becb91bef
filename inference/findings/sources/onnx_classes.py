"""Which output of a classifier tells the classes: scores of all of them, the number of one, or those of the best."""

from inference.findings.sources.seen import INTEGERS, Facts, Seen, first
from inference.spec import TensorInfo

NUMBERS_MADE_BY = ("ArgMax", "TopK", "", "ArrayFeatureExtractor", "TreeEnsembleClassifier", "LinearClassifier",
                   "SVMClassifier")


def class_facts(seen: Seen) -> Facts | None:
    """The outputs of a classifier that tells numbers of classes (ArgMax, TopK, scikit-learn's label); scores beside a
    number say more. None for another model."""
    numbers = next((tensor for tensor in seen.outputs.values() if _is_number(tensor, seen)), None)
    if numbers is None:
        return _best(seen)
    others = [tensor for tensor in seen.outputs.values() if tensor is not numbers]
    scores = next((tensor for tensor in others if tensor.datatype not in INTEGERS and len(tensor.shape) == 2), None)
    if scores is None:
        return {"names": {"classes": numbers.name}, "activation": "none"} if not others else None
    return {"names": {"scores": scores.name}} if len(others) == 1 else None


def scores_output(seen: Seen) -> TensorInfo | None:
    """The output with a score for each class."""
    facts = class_facts(seen) or {}
    return seen.outputs.get(facts.get("names", {}).get("scores", "")) or first(seen)


def _best(seen: Seen) -> Facts | None:
    """Scores and numbers of the k best classes, [batch, k] each."""
    if [len(tensor.shape) for tensor in seen.outputs.values()] != [2, 2]:
        return None
    best = [tensor for tensor in seen.outputs.values() if _made_by(tensor, seen) == "TopK"]
    by_kind = {tensor.datatype in INTEGERS: tensor for tensor in best}
    if len(by_kind) != 2:
        return None
    return {"names": {"classes": by_kind[True].name, "scores": by_kind[False].name}, "activation": "none"}


def _is_number(tensor: TensorInfo, seen: Seen) -> bool:
    """Whether an output is one whole number for each image."""
    maker = _made_by(tensor, seen)
    whole = tensor.datatype in INTEGERS or maker == "ArgMax"
    return whole and all(side == 1 for side in tensor.shape[1:]) and maker in NUMBERS_MADE_BY


def _made_by(tensor: TensorInfo, seen: Seen) -> str:
    shown = seen.shown(tensor)
    return "" if shown is None else shown.maker
