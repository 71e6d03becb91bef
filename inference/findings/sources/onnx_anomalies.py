"""Models that find what is unusual, by the names of anomalib's outputs: a map of scores, and its summary beside it."""

from inference.findings.sources.seen import Facts, Seen

ANOMALY_MAP, SUMMARY = "anomaly_map", {"pred_score", "pred_label", "pred_mask"}
LABEL = "anomaly"


def anomaly_facts(seen: Seen) -> Facts | None:
    """The map as a segmentation of one label; its scores are normalised so that 0.5 divides usual from unusual.

    https://anomalib.readthedocs.io, InferenceBatch.
    """
    if ANOMALY_MAP not in seen.outputs or not SUMMARY & seen.outputs.keys():
        return None
    return {"names": {"masks": ANOMALY_MAP}, "activation": "none", "labels": (LABEL,)}
