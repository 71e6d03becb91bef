"""How keys and channels in the queue server are named.

Each name begins with the queue's, PUNNET_QUEUE, so that installations can share a server. So do RQ's own keys, but
those of the default queue: ops/launch.py tells RQ.
"""

DEFAULT_QUEUE = "punnet"


def key(queue_name: str, name: str) -> str:
    """The whole name of a key or a channel of one installation."""
    return f"{queue_name}:{name}"
