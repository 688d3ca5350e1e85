"""The server's side of HTTP/1.1: connections of clients, their requests, and what is written to them."""
