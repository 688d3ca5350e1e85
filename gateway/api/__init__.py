"""The HTTP endpoints: thin functions between the server and the proxy."""
