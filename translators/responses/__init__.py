"""The door of Responses: its requests read, its answers and streams written."""
