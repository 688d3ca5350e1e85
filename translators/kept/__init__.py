"""Turns that go back to upstream as they were made: how they are known again, and what is kept of them."""
