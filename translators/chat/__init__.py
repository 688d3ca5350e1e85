"""Chat completions to Messages and back: the request, the whole answer, and the stream."""
