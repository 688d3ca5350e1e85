"""The Responses API: a body read into an intent, pieces of an answer written as its items and events."""
