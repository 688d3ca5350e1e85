"""Quota leases: the parent keeps what is left of each rule's amount, workers hold portions of it."""
