"""Image bytes -> prediction. Knows nothing of HTTP, gevent or Redis."""
