"""How background work gives way to the quick route."""

import os

NICENESS = int(os.environ.get("PUNNET_TEST_NICE", "12"))


def become_background() -> None:
    """For the life of the calling process and of the threads that it starts."""
    os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    if os.environ.get("PUNNET_TEST_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
