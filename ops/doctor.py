"""`./punnet doctor`: whether this machine is fit to serve, a line for each thing that must be so."""

import sys
from collections.abc import Callable, Iterator

from ops import checks, readiness
from ops.checks import StartError
from ops.given_settings import check_env_file, unknown_variables, warn_of_misspelt
from ops.supervisor import Supervisor
from settings import Settings, SettingsError, load_settings


def main() -> int:
    """Print them. Returns how many are not so."""
    try:
        check_env_file()
        settings = load_settings()
        settings.read_keys()
    except SettingsError as error:
        warn_of_misspelt()
        print(f"settings: {error}")
        return 1
    wrong = 0
    for name, look in _looks(settings):
        problem = _problem(look)
        wrong += bool(problem)
        print(f"{name}: {problem or 'ok'}")
    return wrong


def _looks(settings: Settings) -> Iterator[tuple[str, Callable[[], None]]]:
    yield "settings", _no_misspelt
    yield "folders", lambda: checks.make_folders(settings)
    if not Supervisor(settings).is_running():
        yield "machine and port", lambda: checks.check(settings)
        yield "service", lambda: _say("it does not run: ./start.sh starts it")
        return
    yield "service", lambda: _answers(settings)
    yield "models", lambda: _models_are_ready(settings)


def _problem(look: Callable[[], None]) -> str:
    try:
        look()
    except (StartError, OSError) as error:
        return str(error)
    return ""


def _say(problem: str) -> None:
    raise StartError(problem)


def _no_misspelt() -> None:
    if names := unknown_variables():
        _say(f"{', '.join(names)}: no setting has this name; is it misspelt?")


def _answers(settings: Settings) -> None:
    if not readiness.is_ready(settings):
        _say(f"{readiness.url(settings)}/readyz does not say 200: error.log in {settings.log_dir} tells why")


def _models_are_ready(settings: Settings) -> None:
    failed = [f"{one['name']} is not served: {one['reason']}" for one in readiness.models(settings)
              if one["state"] == "failed"]
    if failed:
        _say("; ".join(failed))


if __name__ == "__main__":
    sys.exit(main())
