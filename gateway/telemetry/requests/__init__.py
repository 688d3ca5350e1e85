"""The request log: the last requests in memory, each with its timeline."""
