"""The version, which stands here alone."""

VERSION = "0.9.0"
