"""The languages of the page: which of them a browser gets, and what the page says in it."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from flask import Request

LANGUAGES: Mapping[str, str] = {"en": "English", "ko": "한국어"}
COOKIE = "punnet-language"
COOKIE_S = 365 * 24 * 3600
FILE = Path(__file__).parent / "templates" / "texts.toml"


def asked(request: Request) -> str:
    """The language that the page's switch asks for, "" where it does not, or asks for one that nobody wrote."""
    given = request.args.get("lang", "")
    return given if given in LANGUAGES else ""


def chosen(request: Request) -> str:
    """The language that was switched to now or before, else the one that the browser likes best, else English."""
    known = [asked(request), request.cookies.get(COOKIE, "")]
    switched = next((language for language in known if language in LANGUAGES), None)
    return switched or request.accept_languages.best_match(LANGUAGES) or "en"


@cache
def texts(language: str) -> Mapping[str, str]:
    """Every text of the page in a language, by its name."""
    return {name: text[language] for name, text in tomllib.loads(FILE.read_text("utf-8")).items()}
