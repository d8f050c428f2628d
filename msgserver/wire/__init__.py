"""
The wire protocol of msgserver, as its specification: bytes in, bytes out.

Nothing here knows a transport, a clock or a source of randomness; whatever is needed of
those is handed in. Both ends of each conversation are here, so that each is the other's test.

A user logs in once, over one TCP connection of lines (L{msgserver.wire.login})::

    server -> base64(challenge)
    client -> base64(client public key)          its length picks the suite
    server -> base64(server public key)
    client -> base64(proof that it holds the secret)
    client -> base64(encrypted token)
    server -> 200 base64(subid)                  or 401, 403, 406; then it closes

Under the modern suite the server's last lines have a mac each.

Then it connects to the gate, as often as connections break, with packets of a 2-byte
big-endian length and that many bytes (L{msgserver.wire.gate})::

    client -> username:index:base64(mac)         each index greater than the last
    server -> 200 OK                             or 400, 404, 401, 403 and a close
    client -> content, session                   any number, side by side
    server -> content, flag, session             as each is ready

The session ties a response to its request. A session that an I{earlier} connection used is
the same request asked again: it does not run twice (S6, kept by L{msgserver.sessions}).

  - L{msgserver.wire.framing}: lines and packets
  - L{msgserver.wire.naming}: a login's name, a handshake's text
  - L{msgserver.wire.classic}: the algorithms of the original
  - L{msgserver.wire.modern}: those that stand up to who overhears, or is in the middle
  - L{msgserver.wire.login}: the login conversation
  - L{msgserver.wire.gate}: the gate's handshake, requests and responses
"""
