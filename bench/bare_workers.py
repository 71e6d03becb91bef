"""RQ's own SimpleWorkers, as many as there are cores, on jobs that do nothing: what the queue itself allows.

The jobs wait before any worker starts; the rate is taken from the first start to the last end, as of Punnet's jobs.
"""

import operator
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from redis import Redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from settings import ROOT, available_cores

NAME = "bare"


def per_s(socket: str, jobs: int) -> float:
    """Jobs a second of a backlog of so many."""
    queue = Queue(NAME, connection=Redis(unix_socket_path=socket), serializer=JSONSerializer)
    ids = [queue.enqueue(operator.add, 1, 2, result_ttl=600).id for _ in range(jobs)]
    command = [str(Path(sys.executable).parent / "rq"), "worker", "--burst", "--quiet", "--url", f"unix://{socket}",
               "--worker-class", "rq.SimpleWorker", "--serializer", "rq.serializers.JSONSerializer", NAME]
    for worker in [subprocess.Popen(command, cwd=ROOT) for _ in range(available_cores())]:
        worker.wait()
    done = [job for job in Job.fetch_many(ids, queue.connection, JSONSerializer) if job is not None]
    rate = rate_per_s([(job.started_at, job.ended_at) for job in done if job.started_at and job.ended_at])
    queue.delete()
    for job in done:
        job.delete()
    return rate


def rate_per_s(spans: list[tuple[datetime, datetime]]) -> float:
    """Jobs a second from the first start to the last end."""
    return len(spans) / (max(end for _, end in spans) - min(start for start, _ in spans)).total_seconds()
