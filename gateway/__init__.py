"""The gateway: an OpenAI-compatible face, a pool of keys, and the network towards Messages hosts."""
