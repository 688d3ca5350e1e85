"""A client, and an upstream, as hostile as can be: what they do, and what is measured meanwhile."""
