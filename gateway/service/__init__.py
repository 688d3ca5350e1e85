"""The life of one request: model and key, attempts, and the point after which no other key can take over."""
