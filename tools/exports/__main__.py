"""python -m tools.exports make DIR [--only FAMILY,…] [--image FILE …]; python -m tools.exports compare DIR"""

import argparse
import sys
from pathlib import Path

from tools.exports.making import SAMPLES, Folders, make


def main() -> int:
    """The exit code."""
    asked = _read()
    folders, only = Folders(asked.folder), [name for name in asked.only.split(",") if name]
    if asked.command == "make":
        return 0 if make(folders, only, asked.image or sorted(SAMPLES.glob("*.jpg"))) else 1
    from tools.exports.compare import compare  # exporters' environments lack what Punnet needs

    return 0 if compare(folders, only) else 1


def _read() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.exports", description=__doc__)
    parser.add_argument("command", choices=("make", "compare"))
    parser.add_argument("folder", type=Path, help="where the exports, the images and the references are")
    parser.add_argument("--only", default="", help="families or exports, separated by commas")
    parser.add_argument("--image", type=Path, action="append", help="to ask for; the samples where none is named")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
