"""What one protocol means in another: pure functions over bytes and values, no I/O and no clock."""
