"""`python -m predictors`: what supervisord runs as the predictors' parent."""

import logging
import sys

from predictors.pool import Parent
from settings import SettingsError, load_settings

LOG_FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"


def main() -> None:
    settings = load_settings()
    logging.basicConfig(level=settings.logging_level.upper(), format=LOG_FORMAT, stream=sys.stdout)
    Parent(settings).run()


if __name__ == "__main__":
    try:
        main()
    except SettingsError as error:
        sys.exit(f"punnet: {error}")
