"""What developers run by hand. The product imports nothing of it, and CI runs nothing of it."""
