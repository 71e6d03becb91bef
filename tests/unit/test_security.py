"""docs/security.md names a test for each promise; here it is made sure that these tests exist."""

import ast
import re

import pytest

from settings import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text()
PROMISES = [line.strip("| ").split(" | ") for line in PAGE.splitlines()
            if line.startswith("| ") and not line.startswith(("| promise", "| ---"))]
HOLDING = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


@pytest.mark.parametrize(("promise", "held_by"), PROMISES, ids=[promise[:40] for promise, _ in PROMISES])
def test_what_holds_a_promise_is_there(promise: str, held_by: str) -> None:
    found = HOLDING.findall(held_by)
    assert found, promise
    for file, name in found:
        functions = {node.name for node in ast.walk(ast.parse((ROOT / file).read_text()))
                     if isinstance(node, ast.FunctionDef)}
        assert not name or name in functions
        assert any(function.startswith("test_") for function in functions)
