"""
The control link: login servers, gates and operators in processes of their own.

It is Twisted's Perspective Broker, which is known here and nowhere else. Whoever connects
meets a door (L{msgserver.remote.door}): both sides prove that they hold the same key, and then
each has something of the other's to call::

    gate, or operator                       login server
      challenge() ─────────────────────────▶  Door
      enter(identity, nonce, proof) ───────▶
      register, adopt, loggedOut, … ───────▶  GateDesk        ILoginDirectory
      GateEnd  ◀───────────────── login, kick, setDraining, load      IGate
      gates, users, kick, setDraining ─────▶  OperatorDesk    IOperations
      ping() ◀─────────────────────────────▶  ping()

  - L{msgserver.remote.link}: a connection: calls with a deadline, errors that cross as
    themselves, pings
  - L{msgserver.remote.door}: who may call
  - L{msgserver.remote.gates}: the login server's end
  - L{msgserver.remote.servers}: the gate's end
  - L{msgserver.remote.operations}: the operator's end
"""
