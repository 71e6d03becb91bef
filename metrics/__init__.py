"""The numbers that Prometheus reads: each process counts for itself, and whoever is asked adds them up."""
