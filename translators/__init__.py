"""Translations between the protocols: pure functions over bytes and values, no I/O and no clock."""
