"""Boxes of a detector: rows of its outputs, their encodings, non-maximum suppression, those of tiles as one."""
