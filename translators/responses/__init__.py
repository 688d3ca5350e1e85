"""The Responses API: reads its requests into intents, and writes answers as its items and events."""
