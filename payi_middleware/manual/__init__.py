"""Events that are told by hand: from code, from a file, or by a client of the server."""
