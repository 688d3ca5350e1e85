"""The rules of the Messages API, with its messages where these are known."""
