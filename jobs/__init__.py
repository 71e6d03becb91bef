"""What the HTTP side and the workers agree on: queue, stored images, events, outcomes. Alone in talking to Redis."""
