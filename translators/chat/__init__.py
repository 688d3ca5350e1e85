"""The door of chat completions: its requests read, its answers and streams written."""
