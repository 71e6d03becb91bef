"""What exceptions of libraries and of a model's own code say, made fit for a caller."""

import re

OBJECT = re.compile(" ?<[^<>]* at 0x[0-9a-fA-F]+>")


def without_objects(text: str) -> str:
    """Without Python's names of its objects, whose types and addresses in memory tell a caller nothing."""
    return OBJECT.sub("", text)


def one_line(error: BaseException) -> str:
    """What the exception says, on one line."""
    return " ".join(without_objects(str(error)).split())
