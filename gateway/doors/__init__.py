"""The doors: one short file an endpoint."""
