"""Figures: what the gateway weighs, how fast it is ready, what a translation costs. `make bench` prints them all."""
