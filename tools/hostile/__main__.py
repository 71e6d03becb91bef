"""`python -m tools.hostile`: post odd and broken images and requests to a server of its own, and say how it did.

What is right: no 5xx but the ones that docs/api.md names for what happened, no answer after more than 5 s, no quick
request beside it over 1 s, no process that died, memory as before, and logs that did not grow without bound.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence

from bench import servers
from bench.stats import percentile
from tools.hostile import bombs, pictures, requests
from tools.hostile.inputs import Source, drawn
from tools.hostile.sending import Reply, ask_all
from tools.hostile.watching import Condition, QuickRequests, condition

SHARES: dict[Source, float] = {
    pictures.written: 0.1, pictures.truncated: 0.15, pictures.mutated: 0.55, bombs.bombs: 0.01,
    requests.by_hand: 0.01, requests.odd_headers: 0.05, requests.changed_heads: 0.13}
SLOWEST_S, QUICK_MOST_MS, MEMORY_MORE_MB, LOG_MORE_KB = 5.0, 1000.0, 50.0, 2.0  # the log's growth is by input
AT_A_TIME = 4
REFUSALS = ("501", "505")  # of a coding, or an HTTP version, that is not spoken here
REST_S = 5.0  # until memory has been given back


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.hostile", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    quick = QuickRequests()
    with servers.running_punnet() as service:
        _warm_up(service)
        before = condition(service)
        with quick.sent_to(service.address, servers.punnet().quick_requests()[0]):
            replies = ask_all(service.address, drawn(SHARES, arguments.count, arguments.seed), AT_A_TIME)
        time.sleep(REST_S)
        after = condition(service)
    _report(replies)
    sys.exit(1 if _faults(replies, quick, before, after) else 0)


def _warm_up(service: servers.Service) -> None:
    """So that each process has done each kind of work once, and holds what it will hold for good."""
    ask_all(service.address, drawn({pictures.written: 0.5, bombs.bombs: 0.2}, 500, 0), AT_A_TIME)
    time.sleep(REST_S)


def _report(replies: Sequence[Reply]) -> None:
    kinds = dict.fromkeys(reply.kind for reply in replies)
    print("| kind | inputs | answers | slowest, s |\n| --- | ---: | --- | ---: |")
    for kind in kinds:
        those = [reply for reply in replies if reply.kind == kind]
        counts = Counter(f"{reply.status} {reply.problem}".strip() for reply in those)
        answers = ", ".join(f"{count} times {answer}" for answer, count in counts.most_common())
        print(f"| {kind} | {len(those)} | {answers} | {max(reply.seconds for reply in those):.1f} |")


def _faults(replies: Sequence[Reply], quick: QuickRequests, before: Condition, after: Condition) -> bool:
    slow = [reply for reply in replies if reply.seconds > SLOWEST_S]
    fives = [reply for reply in replies if reply.status.startswith("5") and reply.status not in REFUSALS]
    for reply in (*fives, *slow):
        print(f"- {reply.status} {reply.problem} after {reply.seconds:.1f} s: {reply.kind}, {reply.name}")
    gone = before.pids - after.pids
    most_ms, log_kb = max(quick.latencies_ms), (after.log_mb - before.log_mb) * 1000 / len(replies)
    print(f"\nprocesses that are gone: {len(gone)}; memory {before.pss_mb:.0f} -> {after.pss_mb:.0f} MB; logs grew by "
          f"{log_kb:.2f} kB an input; quick requests beside it: {len(quick.latencies_ms)}, statuses {quick.statuses}, "
          f"p50 {percentile(quick.latencies_ms, 50):.0f}, p99 {percentile(quick.latencies_ms, 99):.0f}, "
          f"most {most_ms:.0f} ms")
    return bool(fives or slow or gone or most_ms > QUICK_MOST_MS or after.pss_mb > before.pss_mb + MEMORY_MORE_MB
                or log_kb > LOG_MORE_KB)


if __name__ == "__main__":
    main()
