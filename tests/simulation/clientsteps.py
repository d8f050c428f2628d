"""
What clients may do: devices, and strangers.
"""

from __future__ import annotations

from msgserver.wire.framing import packet
from msgserver.wire.gate import requestPacket
from tests.simulation import handlers
from tests.simulation.clients import Device, RawEnd, Taken, ignored
from tests.simulation.gatesteps import GateSteps
from tests.simulation.network import (
    Port,
)

MOST_LINKS = 14
"""The connections beyond which strangers make no more."""

MOST_TAKEN = 8
"""The logins that strangers have at once."""

MOST_UNSENT = 100_000
"""The unsent bytes beyond which a stranger asks nothing more."""


class ClientSteps(GateSteps):
    """Steps of the clients' side."""

    # Steps of devices

    def _device(self, x: int, y: int) -> bool:
        """Have a user take a device."""
        if sum(not device.isClosed for device in self.devices) >= 4:
            return False
        uid = self.uids[x % len(self.uids)]
        name = f"d{len(self.devices)}"
        device = Device(self, uid, name, self.hasAddress, self.maxUnanswered)
        device.verb = {13: b"later", 14: b"no", 15: b"bug"}.get(y % 16, b"yes")
        self.devices.append(device)
        return True

    def _open(self) -> list[Device]:
        return [device for device in self.devices if not device.isClosed]

    def _ask(self, x: int, y: int) -> bool:
        """Have a device ask something."""
        devices = self._open()
        if not devices:
            return False
        device = devices[x % len(devices)]
        if len(device.unanswered) > 12:
            return False
        for number in range((1, 1, 2, 4)[x // 64 % 4]):
            device.ask(self._verb(y + 7 * number, isMild=not self.hasRoom), self._size(x + number))
        return True

    def _verb(self, y: int, isMild: bool = False) -> bytes:
        kind = y % 20
        verbs = handlers.QUICK_VERBS
        if kind < 7:
            verbs = handlers.SLOW_VERBS
        elif kind < 9 and not isMild:
            verbs = handlers.LARGE_VERBS
        elif kind == 19 and y % 3 == 0:
            verbs = handlers.ENDING_VERBS
        return verbs[y // 20 % len(verbs)]

    def _size(self, x: int) -> int:
        if x % 40:
            return 0
        return min(self.limits.session.maxPacket, 65_535) - 4

    def _cancel(self, x: int, y: int) -> bool:
        """Have a device want an answer no more."""
        devices = self._open()
        return bool(devices) and devices[x % len(devices)].cancel(y)

    def _drop(self, x: int, y: int) -> bool:
        """Have a device drop its connection."""
        devices = self._open()
        if not devices:
            return False
        devices[x % len(devices)].client.dropConnection()
        return True

    def _close(self, x: int, y: int) -> bool:
        """Have a device close."""
        devices = self._open()
        return bool(devices) and devices[x % len(devices)].close()

    # Steps of strangers

    def _stranger(self, x: int, y: int) -> bool:
        """Have a user log in with a program of somebody's own."""
        if len(self.taken) >= MOST_TAKEN:
            del self.taken[x % len(self.taken)]
        verb = (b"yes", b"yes", b"yes", b"yes", b"later", b"no", b"bug", b"yes")[y % 8]
        server = b"sample" if y // 8 % 16 else b"nowhere"
        uid = self.uids[x % len(self.uids)]
        done = self.logIn(server, uid, verb, "a stranger")
        done.addCallbacks(lambda loggedIn: self.taken.append(Taken(loggedIn)), ignored)
        return True

    def _connect(self, x: int, y: int) -> bool:
        """Have a stranger connect to a gate, with a handshake that may be right."""
        if len(self.network.links) >= MOST_LINKS or not self.taken:
            return False
        taken = self.taken[x % len(self.taken)]
        if self.hasEnded(taken.loggedIn) and y // 512 % 4:
            self.taken.remove(taken)
            return True
        index = taken.index + (1, 1, 1, 1, 1, 3, 0, -1)[y % 8]
        taken.index = max(taken.index, index)
        hello = taken.hello(max(0, index))
        if y // 8 % 12 == 0:
            hello = hello[:-1] + b"="  # No base64, or another mac.
        elif y // 8 % 12 == 1:
            hello = hello[:-4] + b"AAA="
        end = self._newEnd(self._gateOf(taken.loggedIn).port, taken)
        uid = taken.loggedIn.user.uid.decode()
        self.trace(f"    it says: handshake of {uid}, index {max(0, index)}")
        end.outbox = hello
        end.isStubborn = y // 512 % 8 == 0
        for number in range((0, 0, 0, 1, 3)[y // 96 % 5]):
            end.outbox += self._written(taken, x + 7 * number, y + 11 * number)
        return True

    def _garbage(self, x: int, y: int) -> bool:
        """Have a stranger connect to a gate, who knows nothing."""
        if len(self.network.links) >= MOST_LINKS:
            return False
        end = self._newEnd(self.gates[x % len(self.gates)].port, None)
        end.outbox = (
            b"",
            packet(b"who:1:AAAA"),
            packet(b"GET / HTTP/1.0"),
            b"\xff\xff" + bytes(300),
            packet(b""),
            b"\x00\x50half",
        )[y % 6]
        return True

    def _newEnd(self, port: Port, taken: Taken | None) -> RawEnd:
        link = self.network.newLink(port)
        self.trace(f"    connection {link.number} from a stranger")
        end = RawEnd(link.clientSocket, taken, self.trace)
        link.client = end
        self._acceptLink(link)
        return end

    def _rawEnds(self) -> list[RawEnd]:
        ends = [link.client for link in self.network.links]
        return [end for end in ends if isinstance(end, RawEnd) and not end.socket.isClosed]

    def _request(self, x: int, y: int) -> bool:
        """Have a stranger ask something."""
        return self._askAs(x, [(x, y)])

    def _again(self, x: int, y: int) -> bool:
        """Have a stranger ask many things at once, in one segment."""
        return self._askAs(x, [(x + 3 * each, y // 4 + 5 * each) for each in range(2 + y % 4)])

    def _askAs(self, who: int, requests: list[tuple[int, int]]) -> bool:
        ends = [end for end in self._rawEnds() if end.taken is not None]
        if not ends:
            return False
        end = ends[who % len(ends)]
        if len(end.outbox) > MOST_UNSENT:
            return False
        assert end.taken is not None
        end.outbox += b"".join(self._written(end.taken, *each) for each in requests)
        return True

    def _written(self, taken: Taken, x: int, y: int) -> bytes:
        self._serial += 1
        content = b"%b s%d " % (self._verb(y), self._serial)
        number = x // 8 % 5
        if self.limits.session.increasing:
            step = (1, 1, 1, 1, 1, 1, 2, 3, 0, -1, -1, -2, -2, -3, -5, -9)[x // 8 % 16]
            number = taken.top + step
            taken.top = max(taken.top, number)
        self.trace(f"    a stranger asks {content.decode()}as session {number % 2**32}")
        return requestPacket((number % 2**32).to_bytes(4, "big"), content.ljust(self._size(y)))

    def _broken(self, x: int, y: int) -> bool:
        """Have a stranger break the wire."""
        ends = self._rawEnds()
        if not ends:
            return False
        long = self.limits.session.maxPacket + 1
        pieces = [bytes([0, y // 2 % 4]) + b"abc"]
        if long < 2**16:
            pieces.append(long.to_bytes(2, "big") + bytes(long))
        ends[x % len(ends)].outbox += pieces[y % len(pieces)]
        return True

    def _hang_up(self, x: int, y: int) -> bool:
        """Have a stranger close, in one way or the other."""
        ends = self._rawEnds()
        if not ends:
            return False
        end = ends[x % len(ends)]
        if y % 3 == 0:
            end.halfClose()
        else:
            end.socket.close()
        return True
