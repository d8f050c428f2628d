"""
The promise under attack: real processes, real sockets, and a network that breaks on purpose.

C{python -m tests.chaos} (C{make chaos}) runs all of it, and says at its end what became of every
request. Faults are drawn from a seed, which is printed; when they strike is the machine's affair,
so the same seed gives the same kind of run, not the same run.

- L{tests.chaos.orders}: what a request asks for, and what its answer must be
- L{tests.chaos.handler}: what the gate runs: it does as ordered, and writes down each run
- L{tests.chaos.journal}: where that is written, so that it outlives a killed gate
- L{tests.chaos.faults}: which faults there are, drawn at random
- L{tests.chaos.proxy}: the network between clients and servers, which has them;
  L{tests.chaos.pipes}: one way of one of its connections
- L{tests.chaos.watching}: what a client sends, as seen from outside
- L{tests.chaos.load}: clients who ask, and write down what they hear
- L{tests.chaos.judge}: compares what clients heard with what the gate ran
- L{tests.chaos.stage}: the login server, the gate and the proxies of one run
- L{tests.chaos.runs}: faults for a while; a gate frozen; a gate killed
- L{tests.chaos.storm}: everybody dropped at the same instant
- L{tests.chaos.tables}: what is printed
"""
