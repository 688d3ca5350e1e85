"""The writer: what is wanted, as a Messages body for one model at one host."""
