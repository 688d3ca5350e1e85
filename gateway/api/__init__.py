"""The HTTP faces: thin functions between the server and the proxy."""
