"""`python -m predictors`: what supervisord runs as the predictors' parent."""

import sys

import logs
from predictors.pool import Parent
from settings import SettingsError, load_settings


def main() -> None:
    settings = load_settings()
    logs.configure(settings.logging_level, settings.log_format, sys.stdout)
    Parent(settings).run()


if __name__ == "__main__":
    try:
        main()
    except SettingsError as error:
        sys.exit(f"punnet: {error}")
