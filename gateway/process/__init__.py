"""One process that serves: its server and signals, a changed configuration, a rotated secret."""
