"""The id by which a request is known in its answer and in the logs."""

import re
import secrets

PLAIN = re.compile(r"[A-Za-z0-9._:@+/=-]{1,128}")


def request_id(given: str) -> str:
    """The caller's, if it is of at most 128 plain characters, else a new one."""
    return given if PLAIN.fullmatch(given) else secrets.token_hex(16)
