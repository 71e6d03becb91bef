"""/: a page to try the models in a browser, a page about each of them, and what these pages load."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Blueprint, Response, current_app, make_response, render_template, request, send_from_directory
from werkzeug.exceptions import NotFound

from api import accept, answers, languages, models
from api.auth import bears_key
from api.problems import Unauthorized
from api.services import services
from inference.errors import ModelNotFound
from predictors.catalogue import Entry
from settings import ROOT
from version import VERSION

blueprint = Blueprint("page", __name__, static_folder="static", static_url_path="/static",
                      template_folder="templates")
# They need no key: who has not sent one gets a page without models, which asks for it.
OPEN_ENDPOINTS = ("page.index", "page.about", "page.static")
# Drawn by training/, and shown where the model that each is for is served.
SAMPLES: Mapping[str, str] = {"leaf.jpg": "strawberry", "scorched_leaf.jpg": "strawberry",
                              "strawberries.jpg": "strawberry-fruit"}
# Of these tasks the page asks for more than the model's own threshold lets through, so that its slider can show it.
SLIDING_TASKS = ("object-detection", "keypoint-detection")
# The page loads nothing from elsewhere, and runs no script but its own files. `blob:` and `data:` are the images that
# were chosen, and those that answers hold.
POLICY = ("default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
          "frame-ancestors 'none'")


@dataclass(frozen=True)
class Choice:
    """A model as the page offers it. `value` is what `model_type` has to be; `threshold` is the model's own, None
    where the page has no slider for it before it knows the scores."""

    value: str
    entry: Entry
    threshold: float | None

    @property
    def is_ready(self) -> bool:
        return self.entry.model is not None

    @property
    def is_missed(self) -> bool:
        """Whether its newest files are not served, or not yet."""
        return not self.is_ready or bool(self.entry.reason)

    @property
    def task(self) -> str:
        return self.entry.model.spec.task if self.entry.model else ""


@blueprint.get("/")
def index() -> Response:
    """The page, for a browser; for everybody else, what there is."""
    if not accept.likes_page(request.headers.get("Accept", "")):
        services().callers.caller(request)
        response = answers.json({"name": "punnet", "links": _links()})
        response.vary.add("Accept")
        return response
    return _page("index.html") if _may_see_models() else _page("key.html")


@blueprint.get("/ui/models/<model_type>")
def about(model_type: str) -> Response:
    """The page about one model. It has a path of its own: programs that name text/html among what they take, as
    Java's do, get JSON at /models."""
    if not _may_see_models():
        return _page("key.html")
    service = services()
    service.check_started()
    try:
        entry = service.catalogue.entry(model_type)
    except ModelNotFound as error:
        return _page("missing.html", 404, reason=str(error))
    return _page("model.html", choices=[_choice(entry, model_type)], model=models.document(service, entry))


@blueprint.get("/ui/samples/<name>")
def sample(name: str) -> Response:
    """A sample image. Other files of the folder are not served."""
    if name not in SAMPLES:
        raise NotFound
    return send_from_directory(ROOT / "samples", name)


@blueprint.app_template_filter("told")
def _told(value: Any) -> str:
    """A text as it is, another value as JSON in which other scripts stay readable."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


@blueprint.after_request
def _protect(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _may_see_models() -> bool:
    """Whether the caller's key lets him; no key is no refusal here.

    Raises:
        Unauthorized: a wrong key.
    """
    try:
        services().callers.caller(request)
    except Unauthorized:
        if bears_key(request):
            raise
        return False
    return True


def _page(template: str, http_status: int = 200, **values: Any) -> Response:
    """A page in the caller's language, which is kept where it was switched."""
    language = languages.chosen(request)
    values.setdefault("choices", _choices(services().catalogue.entries) if template == "index.html" else [])
    html = render_template(template, language=language, languages=languages.LANGUAGES, texts=languages.texts(language),
                           version=VERSION, starting=not services().catalogue.exists,
                           samples=_samples(values["choices"]), links=_links(), **values)
    response = make_response(html, http_status)
    response.headers["Cache-Control"] = "no-store"
    response.vary.update(["Accept", "Accept-Language", "Cookie", "Authorization", "X-API-Key"])
    if languages.asked(request):
        response.set_cookie(languages.COOKIE, language, languages.COOKIE_S, path=request.script_root or "/",
                            httponly=True, samesite="Lax")
    return response


def _choices(entries: Sequence[Entry]) -> list[Choice]:
    """Every version of every model; the newest one that is served bears the name alone."""
    seen: set[str] = set()
    found = []
    for entry in sorted(entries, key=lambda entry: (entry.name, entry.model is None, -_number(entry.version))):
        found.append(_choice(entry, f"{entry.name}:{entry.version}" if entry.name in seen else entry.name))
        seen.add(entry.name)
    return found


def _choice(entry: Entry, value: str) -> Choice:
    slides = entry.model is not None and entry.model.spec.task in SLIDING_TASKS
    return Choice(value, entry, entry.model.spec.output.threshold if entry.model and slides else None)


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else 0


def _samples(choices: list[Choice]) -> dict[str, str]:
    """Sample image -> the model it is for, where that is served."""
    served = {choice.value for choice in choices if choice.is_ready}
    return {name: model for name, model in SAMPLES.items() if model in served}


def _links() -> dict[str, str]:
    """What can be asked for at a fixed path."""
    rules = (rule for rule in current_app.url_map.iter_rules() if not rule.arguments and rule.rule != "/")
    return {rule.rule.strip("/").replace("/", "-"): request.script_root + rule.rule
            for rule in sorted(rules, key=lambda rule: rule.rule)}
