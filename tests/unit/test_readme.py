"""The README is the same in Korean, and its links lead somewhere. test_code_in_docs.py runs its lines."""

import re

import pytest

from settings import ROOT

README = (ROOT / "README.md").read_text()


def test_the_korean_readme_has_the_same_code_links_and_headings() -> None:
    korean = (ROOT / "README.ko.md").read_text()
    for pattern in (r"^```.*?^```$", r"(?<=\]\()[^)]+", r"^#+ "):
        here, there = (re.findall(pattern, text, re.MULTILINE | re.DOTALL) for text in (README, korean))
        assert {one for one in here if "README" not in one} == {one for one in there if "README" not in one}
        assert len(here) == len(there)


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#:]+)\)", README))
def test_a_link_of_the_readme_leads_somewhere(path: str) -> None:
    assert (ROOT / path).exists()
