"""Messages for callers who speak Messages: what passes is only looked at, never rewritten."""
