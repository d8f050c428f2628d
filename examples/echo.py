"""The smallest server: every request is its own answer."""

from msgserver import MsgHandler, User


class EchoHandler(MsgHandler):
    def requestReceived(self, user: User, content: bytes) -> bytes:
        return content
