"""`GET /jobs`: what its query asks for, and the page that answers it. Pure."""

import re
from collections.abc import Mapping
from typing import cast, get_args
from urllib.parse import urlencode

from api import answers
from inference.errors import BadParameter
from inference.model_names import composed
from jobs.job import State
from jobs.listing import Page, Search

LIMIT, MOST = 20, 100
STATES = get_args(State)
NAMES = ("state", "model_type", "limit", "before")


def search(query: Mapping[str, str]) -> Search:
    """Raises BadParameter."""
    if unknown := set(query) - set(NAMES):
        raise BadParameter(f"{sorted(unknown)[0]} is not known here; jobs are chosen by {', '.join(NAMES)}")
    return Search(_limit(query.get("limit")), query.get("before", ""), _state(query.get("state")),
                  composed(query.get("model_type", "")))


def document(page: Page, query: Mapping[str, str], url_prefix: str) -> dict:
    """The jobs without their results, and the URL of what follows."""
    more = f"{url_prefix}/jobs?{urlencode({**query, 'before': page.before})}" if page.before else None
    return {"jobs": [answers.document(record, url_prefix) for record in page.records], "next": more}


def _state(text: str | None) -> State | None:
    if text is not None and text not in STATES:
        raise BadParameter(f"state={text}: it is one of {', '.join(STATES)}")
    return cast(State | None, text)


def _limit(text: str | None) -> int:
    """How many jobs, at most 100."""
    if text is None:
        return LIMIT
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) == 0:
        raise BadParameter(f"limit={text}: it is a whole number from 1 to {MOST}")
    return min(int(text), MOST)
