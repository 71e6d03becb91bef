"""The processes that empty the queue."""
