"""Picks each fact from the first source that knows it, and keeps the record for `GET /models/<name>`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inference.errors import ModelNotUsable
from inference.findings.sources import Claims
from inference.spec import Finding

Candidate = tuple[str, Any]  # source, value


@dataclass
class Facts:
    """The claims about one model, the best source first, and what was decided from them."""

    claims: Sequence[Claims]
    findings: list[Finding] = field(default_factory=list)

    def known(self, fact: str) -> list[Candidate]:
        """What each source says, the best first."""
        return [(claim.source, claim.facts[fact]) for claim in self.claims if claim.facts.get(fact) is not None]

    def first(self, fact: str) -> Any:
        """The best source's value without a record of it, None where no source has one."""
        return next((value for _, value in self.known(fact)), None)

    def decide(self, fact: str, *defaults: Candidate, advice: str = "") -> Any:
        """Pick the fact from the claims, else from `defaults`."""
        return self.pick(fact, *self.known(fact), *defaults, advice=advice)

    def pick(self, fact: str, *candidates: Candidate, advice: str = "") -> Any:
        """The first candidate (source, value) whose value is not None.

        Raises:
            ModelNotUsable: no source knows it; `advice` is what to add.
        """
        for source, value in candidates:
            if value is not None:
                self.findings.append(Finding(fact, _plain(value), source))
                return value
        raise ModelNotUsable(f"{fact.replace('_', ' ')} cannot be found out: {advice}")

    def source_of(self, fact: str) -> str:
        """Where a decided fact came from."""
        return next(finding.source for finding in reversed(self.findings) if finding.fact == fact)


def _plain(value: Any) -> Any:
    """What JSON can tell."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value
