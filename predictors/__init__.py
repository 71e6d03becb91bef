"""Questions in, predictions out, over unix sockets: the processes that hold models, and the client that asks them."""
