"""Tells receivers of webhooks what happened to jobs: one process beside the workers, which holds up none of them."""
