"""An answer of upstream, streamed or whole, read into pieces."""
