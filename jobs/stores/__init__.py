"""Stores of bytes: where images and large results of jobs lie."""
