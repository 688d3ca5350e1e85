"""Traces for OpenTelemetry; only `opening` may be imported where its packages may be missing."""
