"""What operators are told without asking: lines of the log, and webhooks that are sent once over all workers."""
