"""Who may use the service: callers with an API key, where there are keys."""

import hmac

from flask import Request

from api.problems import Unauthorized


def check_key(request: Request, keys: tuple[str, ...]) -> None:
    """Compare the caller's key with every key, each in constant time, so that timing tells nothing.

    Raises:
        Unauthorized.
    """
    if not keys:
        return
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else request.headers.get("X-API-Key", "")
    matches = [hmac.compare_digest(given.encode(), key.encode()) for key in keys]
    if not any(matches):
        raise Unauthorized("send an API key as 'Authorization: Bearer <key>' or 'X-API-Key: <key>'")
