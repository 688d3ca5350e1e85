"""What those who serve a request have to expect of its client and of this server, beside `TimeoutError`."""


class ClientGoneError(Exception):
    """The client has hung up; there is nobody left to answer."""


class NoRoomError(Exception):
    """This process holds as many bytes of request bodies as it may."""
