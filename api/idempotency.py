"""`Idempotency-Key` on POST: the same request, sent again, gets the same job or the same answer."""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from flask import Response

from api import problems
from api.auth import caller
from api.problems import BadRequest, KeyReused
from api.services import Services
from jobs.errors import JobExpired, JobNotFound, KeyInUse, QueueUnavailable
from jobs.idempotency import Claim, Known
from jobs.job import JobRecord

T = TypeVar("T")
MAX_CHARACTERS = 255
# As the draft of the header wants it, a string in quotes; or bare, as most programs send it. A comma is none of the
# key's: it stands between two headers.
QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])+)"')
BARE = re.compile(r"[!#-+\--~]+")
# Problems that the same request would have again. All others are not remembered, so that it may be tried again. A job
# that was accepted is the answer, however it ends.
REMEMBERED = (406, 413, 415, 422)
# A larger answer is not kept: the same request is computed anew.
MAX_KEPT_BYTES = 1 << 16
LARGE = ("large", "1")
log = logging.getLogger(__name__)


def key_of(header: str | None) -> str:
    """The key, "" where there is none. Raises BadRequest."""
    if header is None:
        return ""
    given = header.strip()
    if found := QUOTED.fullmatch(given):
        given = re.sub(r"\\(.)", r"\1", found[1])
    elif not BARE.fullmatch(given):
        raise BadRequest("Idempotency-Key is one key of visible ASCII characters, bare or in quotes")
    if len(given) > MAX_CHARACTERS:
        raise BadRequest(f"Idempotency-Key has {len(given)} characters, at most {MAX_CHARACTERS} are taken")
    return given


def asked_for(*parts: Any) -> str:
    """What stands for a request: its parts, which JSON can write."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def once(service: Services, given: str, asked: str, act: Callable[[Claim], T]) -> T | Response | JobRecord:
    """What came of the first request with this key, or what comes of `act`.

    Raises:
        KeyReused, KeyInUse, QueueUnavailable; what `act` raises.
    """
    claim = _claimed(service, given, asked)
    if not isinstance(claim, Claim):
        return claim
    with service.claims.held(claim):
        answer = _tried(service, claim, act)
    if isinstance(answer, Response):
        _keep(service, claim, _written(answer))
    return answer


def _claimed(service: Services, given: str, asked: str) -> Claim | Response | JobRecord:
    found = service.claims.claim(caller().owner, given, asked)
    if isinstance(found, Claim):
        return found
    if found.asked != asked:
        raise KeyReused("this Idempotency-Key was sent with another image, model, parameters, webhook or Accept")
    answer = _known(service, found)
    if answer is not None:
        return answer
    over = ("job", found.job_id) if found.job_id else LARGE
    again = service.claims.claim(caller().owner, given, asked, over)
    if isinstance(again, Claim):
        return again
    raise KeyInUse()  # by another that was faster


def _known(service: Services, found: Known) -> Response | JobRecord | None:
    """None where the request is done again: its job cannot be read any more, or its answer was too large to be kept.
    Raises KeyInUse."""
    if found.under_way:
        raise KeyInUse()
    if "kind" in found.fields:
        return problems.render(problems.problem_of(found.fields["kind"].decode()), found.fields["detail"].decode())
    if "body" in found.fields:
        head = json.loads(found.fields["head"])
        return Response(found.fields["body"], head["status"], head["headers"])
    return _job(service, found.job_id) if found.job_id else None


def _job(service: Services, job_id: str) -> JobRecord | None:
    with suppress(JobNotFound, JobExpired):
        return service.queue.read(job_id, caller().owner)
    return None


def _tried(service: Services, claim: Claim, act: Callable[[Claim], T]) -> T:
    try:
        return act(claim)
    except Exception as error:  # whatever it was, the key is settled before it goes on up
        kind = problems.kind_of(error)
        if kind and problems.problem_of(kind).status in REMEMBERED:
            _keep(service, claim, {"kind": kind, "detail": str(error)})
        else:
            _free(service, claim)
        raise
    except BaseException:  # the end of this greenlet
        _free(service, claim)
        raise


def _written(answer: Response) -> Mapping[str, str | bytes]:
    """An answer as it is kept."""
    size = answer.calculate_content_length()
    if size is None or size > MAX_KEPT_BYTES:
        return dict([LARGE])
    head = {"status": answer.status_code, "headers": answer.headers.to_wsgi_list()}
    return {"head": json.dumps(head), "body": answer.get_data()}


def _keep(service: Services, claim: Claim, fields: Mapping[str, str | bytes]) -> None:
    """An answer that cannot be kept is given all the same."""
    try:
        service.claims.keep(claim, fields)
    except QueueUnavailable as error:
        log.warning("an answer is not kept for its Idempotency-Key: %s", error)


def _free(service: Services, claim: Claim) -> None:
    with suppress(QueueUnavailable):  # it becomes free by itself
        service.claims.free(claim)
