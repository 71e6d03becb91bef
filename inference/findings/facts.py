"""Picks each fact from the first source that knows it, and keeps the record for `GET /models/<name>`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inference.errors import ModelNotUsable
from inference.findings.sources import Claims
from inference.spec import Finding

Candidate = tuple[str, Any]  # source, value
MISSING = "missing"


@dataclass
class Facts:
    """The claims about one model, the best source first, and what was decided from them."""

    claims: Sequence[Claims]
    findings: list[Finding] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)  # facts, and what to add
    problems: list[str] = field(default_factory=list)  # what contradicts the model, with what to do

    def warn(self, text: str) -> None:
        """Note what was assumed, or looks wrong, for `GET /models/<name>`; once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def refuse(self, text: str) -> None:
        """Note what contradicts the model, so that it is told together with all that is missing; once."""
        if text not in self.problems:
            self.problems.append(text)

    def known(self, fact: str) -> list[Candidate]:
        """What each source says, the best first."""
        return [(claim.source, claim.facts[fact]) for claim in self.claims if claim.facts.get(fact) is not None]

    def first(self, fact: str) -> Any:
        """The best source's value without a record of it, None where no source has one."""
        return next((value for _, value in self.known(fact)), None)

    def decide(self, fact: str, *defaults: Candidate, advice: str = "", stand_in: Any = None) -> Any:
        """Pick the fact from the claims, else from `defaults`."""
        return self.pick(fact, *self.known(fact), *defaults, advice=advice, stand_in=stand_in)

    def pick(self, fact: str, *candidates: Candidate, advice: str = "", stand_in: Any = None) -> Any:
        """The first candidate (source, value) whose value is not None.

        Where no source knows it, that is noted as missing with the `advice` what to add, and `stand_in` is given so
        that all that is missing is found at once.

        Raises:
            ModelNotUsable: no source knows it, and nothing can stand in.
        """
        for source, value in candidates:
            if value is not None:
                self.findings.append(Finding(fact, _plain(value), source))
                return value
        self.missing.append((fact.replace("_", " "), advice))
        if stand_in is None:
            self.check_complete()
        self.findings.append(Finding(fact, _plain(stand_in), MISSING))
        return stand_in

    def check_complete(self) -> None:
        """Raises ModelNotUsable: something is missing or contradicts the model; the text names all of it, and what to
        do."""
        if self.reason:
            raise ModelNotUsable(self.reason)

    @property
    def reason(self) -> str:
        """All that hinders, in one sentence; nothing where nothing does."""
        if not self.missing:
            return "; ".join(self.problems)
        *others, last = dict.fromkeys(fact for fact, _ in self.missing)
        names = f"{', '.join(others)} and {last}" if others else last
        advice = dict.fromkeys(advice for _, advice in self.missing if advice)
        return "; ".join([f"{names} cannot be found out: {'; '.join(advice)}", *self.problems])

    def source_of(self, fact: str) -> str:
        """Where a decided fact came from."""
        return next(finding.source for finding in reversed(self.findings) if finding.fact == fact)


def _plain(value: Any) -> Any:
    """What JSON can tell."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value
