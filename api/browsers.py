"""Browsers: what pages of other origins may do here, and by which names the service may be called.

A browser lends its place in the network to every page that it shows. Without a word from the operator such a page can
neither read an answer nor cause anything. Programs send none of a browser's headers, and notice nothing of this.
"""

import re
from dataclasses import dataclass

from flask import Request, Response

from api.problems import Forbidden
from setting_values import is_loopback, parts
from settings import Settings

ANY = "*"
CHANGES_NOTHING = ("GET", "HEAD", "OPTIONS")
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
EXPOSED = ("Location, Retry-After, Server-Timing, X-Request-ID, Preference-Applied, X-Tensor-Shape, "
           "X-Tensor-Datatype")
METHODS = "GET, POST, DELETE"
PREFLIGHT_S = "600"  # a browser asks again after so many seconds, and so learns that a setting was changed


@dataclass(frozen=True)
class Browsers:
    """`origins` are those whose pages may use the service, `hosts` the names by which it may be called; None: any."""

    origins: frozenset[str]
    hosts: frozenset[str] | None

    @classmethod
    def of(cls, settings: Settings) -> "Browsers":
        """On loopback the names are limited, for a page may have a name of its own mean 127.0.0.1 (DNS rebinding), and
        then its browser takes the service for the page's own server."""
        known = frozenset(map(_plain, (settings.host, *parts(settings.allowed_hosts))))
        return cls(frozenset(parts(settings.cors_origins)), known if settings.is_loopback else None)

    def check(self, request: Request) -> None:
        """Raises Forbidden for what a page of another origin wants to cause, and for a name that is not ours."""
        host, origin = request.environ.get("HTTP_HOST", ""), request.headers.get("Origin", "")
        if not self._is_ours(host):
            raise Forbidden(f"this server is not called {host_name(host)!r}: a name by which it is to be called "
                            "belongs into PUNNET_ALLOWED_HOSTS")
        fetch_site = request.headers.get("Sec-Fetch-Site", "")
        if request.method not in CHANGES_NOTHING and is_foreign(fetch_site, origin, host) and not self._let(origin):
            raise _foreign(origin)

    def preflight(self, request: Request) -> Response | None:
        """The answer to the question whether a page may send a request, which bears no key; None for another request.

        Raises:
            Forbidden.
        """
        origin = request.headers.get("Origin", "")
        if request.method != "OPTIONS" or not origin or "Access-Control-Request-Method" not in request.headers:
            return None
        if not self._let(origin):
            raise _foreign(origin)
        return Response(status=204, headers={
            "Access-Control-Allow-Methods": METHODS, "Access-Control-Max-Age": PREFLIGHT_S,
            "Access-Control-Allow-Headers": request.headers.get("Access-Control-Request-Headers", "")})

    def mark(self, request: Request, response: Response) -> None:
        """Tell the browser what a page may do with the answer. Without allowed origins another page may not even show
        it, as an image for instance."""
        response.headers["X-Content-Type-Options"] = "nosniff"
        if not self.origins:
            response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
            return
        if ANY not in self.origins:
            response.vary.add("Origin")
        origin = request.headers.get("Origin", "")
        if origin and self._let(origin):
            response.headers["Access-Control-Allow-Origin"] = ANY if ANY in self.origins else origin
            response.headers["Access-Control-Expose-Headers"] = EXPOSED

    def _let(self, origin: str) -> bool:
        return ANY in self.origins or origin.lower() in self.origins

    def _is_ours(self, host: str) -> bool:
        """Whether the service may be called so. A program that speaks HTTP/1.0 may name no host; no browser does."""
        name = host_name(host)
        return (self.hosts is None or not name or name in self.hosts or is_loopback(name)
                or name.endswith(".localhost"))  # which browsers never look up


def is_foreign(fetch_site: str, origin: str, host: str) -> bool:
    """Whether a browser says that a request comes from a page of another origin than the service. An older browser, or
    one that calls a plain-text service elsewhere, tells the origin only."""
    if fetch_site:
        return fetch_site not in ("same-origin", "none")
    scheme, _, place = origin.lower().partition("://")
    host = host.lower()
    is_own = bool(place) and place in (host, host.removesuffix(DEFAULT_PORTS.get(scheme, "")))
    return bool(origin) and not is_own


def host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    return _plain(re.sub(r":\d*$", "", host))


def _plain(name: str) -> str:
    return name.strip("[]").rstrip(".").lower()


def _foreign(origin: str) -> Forbidden:
    return Forbidden(f"pages of {origin or 'another origin'} may not use this server: their origin belongs into "
                     "PUNNET_CORS_ORIGINS")
