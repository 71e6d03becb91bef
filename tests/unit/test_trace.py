import re

import pytest
from flask.testing import FlaskClient

from api.trace import continued

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_trace_goes_on_with_a_span_of_its_own() -> None:
    found = re.fullmatch(rf"00-{TRACE}-([0-9a-f]{{16}})-01", continued(f"00-{TRACE}-{SPAN}-01"))
    assert found is not None
    assert found[1] != SPAN


@pytest.mark.parametrize("given", ["", "nonsense", f"00-{TRACE}-{SPAN}", f"00-{'0' * 32}-{SPAN}-01",
                                   f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{SPAN}-01",
                                   f"ff-{TRACE}-{SPAN}-01"])
def test_what_is_no_trace_is_as_if_it_were_not_there(given: str) -> None:
    assert continued(given) == ""


@pytest.mark.parametrize(("given", "is_answered"), [({"traceparent": f"00-{TRACE}-{SPAN}-00"}, True), ({}, False)])
def test_an_answer_bears_the_trace_of_its_request(client: FlaskClient, given: dict[str, str],
                                                  is_answered: bool) -> None:
    for path in ("/livez", "/nowhere"):
        assert ("traceparent" in client.get(path, headers=given).headers) == is_answered
