"""Processes are killed at random under load: whatever was accepted is answered right, once, and its webhooks come."""
