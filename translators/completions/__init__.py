"""Legacy completions: each prompt is a conversation of one message, and the answer is text."""
