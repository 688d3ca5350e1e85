"""Figures: what the gateway weighs, how fast it is ready, what translations cost, what load costs. `make bench`."""
