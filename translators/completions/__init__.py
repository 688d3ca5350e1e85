"""Legacy completions: each prompt is a conversation of one message, answered with text."""
