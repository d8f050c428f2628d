"""
Every way to answer a request: at once, with a Deferred, as a coroutine, with an error.

C{slow:MS:text} is answered C{text} after so many milliseconds, C{twice:MS:text} in two waits;
C{refuse:text} and C{error:text} fail; C{echo:text} is answered C{text}; anything else is its
own answer.
"""

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from msgserver import MsgHandler, RequestFailed, User
from msgserver.interfaces import MaybeLater


class SlowHandler(MsgHandler):
    def __init__(self, clock: IReactorTime | None = None) -> None:
        self._clock = clock or IReactorTime(reactor)

    def requestReceived(self, user: User, content: bytes) -> MaybeLater[bytes]:
        verb, _, text = content.partition(b":")
        match verb:
            case b"echo":
                return text
            case b"slow":
                return self._slow(text)
            case b"twice":
                return self._twice(text)
            case b"refuse":
                raise RequestFailed(text)
            case b"error":
                raise ValueError("a bug of the handler's: logged, and not told to the client")
        return content

    def _slow(self, text: bytes) -> Deferred[bytes]:
        milliseconds, _, answer = text.partition(b":")
        if not milliseconds.isdigit():
            raise RequestFailed(b"how many milliseconds?")
        return deferLater(self._clock, int(milliseconds) / 1000, lambda: answer)

    async def _twice(self, text: bytes) -> bytes:
        first = await self._slow(text)
        return first + await self._slow(text)
