"""What an application must expect when it reads a request, besides `TimeoutError`."""


class ClientGoneError(Exception):
    """The client has disconnected, so no answer can reach it."""


class NoRoomError(Exception):
    """The process already holds as many bytes of request bodies as its limits allow."""
