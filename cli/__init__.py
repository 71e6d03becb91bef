"""The command line: a client of a running service, which it knows by HTTP alone."""
