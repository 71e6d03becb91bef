"""Cold start: from running ./start.sh, with the venv ready, to the first 200 for a picture.

`.venv/bin/python -m bench.cold_start [--starts 5]`. The files of venv and model are in the page cache after the first.
"""

import argparse
import http.client
import time
from statistics import median

from bench.common import MODEL, SAMPLES, Server, instance, verdict

LIMIT_S = 3.0  # issue 2, point 4
POLL_S = 0.02
GIVE_UP_S = 60


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cold_start")
    parser.add_argument("--starts", type=int, default=5)
    first_s = [_said(number, *_cold_start()) for number in range(1, parser.parse_args().starts + 1)]
    print(verdict(f"\nmedian of {len(first_s)}", median(first_s), LIMIT_S, "s"))


def _cold_start() -> tuple[float, float]:
    """Seconds until the first 200, and until ./start.sh has returned."""
    picture = (SAMPLES / "leaf.jpg").read_bytes()
    with instance() as server:
        begin = time.perf_counter()
        starting = server.start()
        while not _answers(server, picture):
            if starting.poll() not in (None, 0) or time.perf_counter() - begin > GIVE_UP_S:
                raise SystemExit("the server did not start")
            time.sleep(POLL_S)
        first_s = time.perf_counter() - begin
        starting.wait()
        return first_s, time.perf_counter() - begin


def _answers(server: Server, picture: bytes) -> bool:
    connection = http.client.HTTPConnection(*server.address, timeout=GIVE_UP_S)
    try:
        connection.request("POST", f"/predict?model_type={MODEL}", picture, {"Content-Type": "image/jpeg"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _said(number: int, first_s: float, returned_s: float) -> float:
    print(f"start {number}   first 200 after {first_s:.2f} s, ./start.sh returned after {returned_s:.2f} s", flush=True)
    return first_s


if __name__ == "__main__":
    main()
