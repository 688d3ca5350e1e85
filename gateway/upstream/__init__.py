"""The network towards Messages hosts."""
