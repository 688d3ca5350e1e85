"""A simulator of what a pool of keys meets: Anthropic's limits, caches and faults, in simulated time."""
