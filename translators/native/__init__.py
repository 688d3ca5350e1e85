"""Anthropic's own API, passed through: bodies are inspected, not translated."""
