"""Thousands of odd and broken images and requests against a running server."""
