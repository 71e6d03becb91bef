"""Starting, stopping and supervising the processes; what start.sh and stop.sh run."""
