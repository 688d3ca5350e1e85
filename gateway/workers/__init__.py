"""More than one process: a parent that accepts connections, and workers that each serve their share of them."""
