"""Every operation of the API as a :class:`Call`: what to send, and how to read the answer."""

from gorilla.client.calls.call import Call, new_key

__all__ = ["Call", "new_key"]
