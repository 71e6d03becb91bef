"""/openapi.json and /docs: the reference, for programs, and to be read and tried out in a browser."""

from functools import cache

import orjson
from flask import Blueprint, Response, render_template

from api.accept import JSON
from api.reference.document import document
from api.services import services

blueprint = Blueprint("openapi", __name__, static_folder="reference/static", static_url_path="/docs/files",
                      template_folder="reference/templates")
# An empty page, which asks for the key and then for the description.
OPEN_ENDPOINTS = ("openapi.docs", "openapi.static")
# Nothing from elsewhere. `data:` are the icons of the viewer's style, `blob:` images that were tried out.
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


@blueprint.get("/openapi.json")
def description() -> Response:
    settings = services().settings
    return Response(described(settings.url_prefix, settings.has_keys), content_type=JSON)


@blueprint.get("/docs")
def docs() -> Response:
    headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
    return Response(render_template("docs.html"), headers=headers)


@cache
def described(url_prefix: str, needs_key: bool) -> bytes:
    """Made once: that takes 50 ms."""
    return orjson.dumps(document(url_prefix, needs_key)) + b"\n"
