"""The trace that a request belongs to (W3C Trace Context, https://www.w3.org/TR/trace-context/)."""

import re
import secrets

TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")


def continued(given: str) -> str:
    """The `traceparent` of what is done for a request that bears one: the same trace, a span of its own. "" for a
    request without one, and for what is none."""
    found = TRACEPARENT.fullmatch(given)
    return f"00-{found[1]}-{secrets.token_hex(8)}-{found[2]}" if found else ""
