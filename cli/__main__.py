"""`./punnet`: see `./punnet --help`."""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from cli.address import own_url
from cli.client import Client, Refused, Unreachable
from cli.files import NoImage, drawings, images
from cli.journal import Journal
from cli.predict import Done, Wish, predict_all
from cli.tables import milliseconds, print_table, told
from version import VERSION

AT_A_TIME, CHECK = 8, "check"
NEEDS_KEY = 401


def main() -> int:
    options = _parser().parse_args()
    try:
        return options.run(options, Client(options.url, options.key))
    except Refused as error:
        advice = "; give one with: ./punnet --key KEY …" if error.status == NEEDS_KEY else ""
        return _failed(f"{error} (status {error.status}){advice}")
    except (Unreachable, NoImage, OSError) as error:
        return _failed(str(error))
    except KeyboardInterrupt:
        return _failed("interrupted; the same call with --resume goes on")


def _failed(reason: str) -> int:
    print(f"punnet: {reason}", file=sys.stderr)
    return 1


def predict(options: argparse.Namespace, client: Client) -> int:
    files, parameters = images(options.files), dict(options.parameter)
    call = {"url": options.url, "model": options.model, "parameters": parameters, "draws": options.draw is not None}
    journal = Journal.of(call, options.resume)
    wish = Wish(options.model, parameters, drawings(files, options.draw) if options.draw else None)
    done = _followed(predict_all(client, files, wish, journal, options.at_a_time), len(files))
    failed = (_print_lines if options.json else _print_table)(done)
    journal.close()
    return _failed(f"{failed} of {len(files)} images were not answered") if failed else 0


def _followed(done: Iterator[Done], count: int) -> Iterator[Done]:
    """With a line that tells how far it is, where somebody looks."""
    if not sys.stderr.isatty():
        return done
    from cli.progress import followed  # the server is busy with the first images meanwhile

    return followed(done, count)


def _print_lines(done: Iterable[Done]) -> int:
    """JSON, as it comes. Returns how many images were not answered."""
    failed = 0
    for one in done:
        failed += not one.is_answered
        print(one.to_json(), flush=True)
    return failed


def _print_table(done: Iterable[Done]) -> int:
    """At the end. Returns how many images were not answered."""
    every = list(done)
    print_table(("image", "ms", "answer"),
                ((str(one.file), milliseconds(one.answer), told(one.answer)) for one in every))
    return sum(not one.is_answered for one in every)


def jobs(options: argparse.Namespace, client: Client) -> int:
    if options.cancel:
        return _print(client.cancel(options.cancel))
    if options.id:
        return _print(client.job(options.id))
    print_table(("id", "state", "model", "accepted", "done"), (
        (job["id"], job["state"], job["model_type"], job["created_at"],
         f"{job['progress']['done']}/{job['progress']['total']}") for job in client.jobs(limit=options.limit)))
    return 0


def models(options: argparse.Namespace, client: Client) -> int:
    if len(options.name) == 2 and options.name[0] == CHECK:
        return _own_program("ops.model_check", str(Path(options.name[1]).absolute()))
    if options.name:
        return _print(client.model(options.name[0]))
    print_table(("model", "version", "state", "task"), (
        (model["name"], model["version"], model["state"], model.get("task") or model.get("reason", ""))
        for model in client.models()))
    return 0


def doctor(options: argparse.Namespace, client: Client) -> int:
    return _own_program("ops.doctor")


def _own_program(module: str, *arguments: str) -> NoReturn:
    """What looks at this machine and not at a server: the command line itself knows HTTP alone."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])


def _print(document: dict[str, Any]) -> int:
    print(json.dumps(document, indent=2, ensure_ascii=False))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("punnet", description="Predict images on a Punnet server, and look after it.")
    parser.add_argument("--version", action="version", version=VERSION)
    parser.add_argument("--url", default=own_url(), help="of the server (%(default)s)")
    parser.add_argument("--key", default="", help="an API key of it")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("predict", help="predict images, and those in folders")
    command.add_argument("files", nargs="+", metavar="FILE")
    command.add_argument("--model", required=True)
    command.add_argument("-p", "--parameter", action="append", default=[], type=_pair, metavar="NAME=VALUE",
                         help="of the task, such as threshold=0.5")
    command.add_argument("--json", action="store_true", help="a line of JSON for each image")
    command.add_argument("--draw", type=Path, metavar="DIR", help="also save each image with its result drawn on it")
    command.add_argument("--resume", action="store_true", help="go on after a call that was interrupted")
    command.add_argument("--at-a-time", type=int, default=AT_A_TIME, metavar="N", help="images (%(default)s)")
    command.set_defaults(run=predict)
    command = commands.add_parser("jobs", help="the newest jobs, or one of them")
    command.add_argument("id", nargs="?")
    command.add_argument("--limit", type=int, default=20)
    command.add_argument("--cancel", metavar="ID")
    command.set_defaults(run=jobs)
    command = commands.add_parser("models", help="the models; all about one; or `check FOLDER`, without a server")
    command.add_argument("name", nargs="*")
    command.set_defaults(run=models)
    commands.add_parser("doctor", help="whether this machine is fit to serve").set_defaults(run=doctor)
    return parser


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"NAME=VALUE is expected, not {text}")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
