"""Metrics: what is counted, what is read when somebody asks, and how both are written for Prometheus."""
