"""Mixed jobs for half an hour, and what is left of them."""
