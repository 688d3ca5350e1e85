"""The gateway under load: a simulated upstream, systems side by side on one core, and what they cost there."""
