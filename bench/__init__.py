"""
The benchmarks. Each is a program, C{python -m bench.NAME}, or C{make bench-NAME}.

Servers are processes of their own, as they would be anywhere; contenders take turns, round by
round, so that a machine's mood is the same for all of them; every answer is verified; and what
is printed are medians, how far the rounds lie apart, and ratios within the same rounds.

- L{bench.gates}: requests a second, and what one costs
- L{bench.gatecontenders}: of whom: L{bench.echoes}, L{bench.naive}, and our gates
- L{bench.workloads}: under which load, and what answers
- L{bench.gatefigures}: what is made of that: tables, targets
- L{bench.plot}: a picture of the results that are kept
- L{bench.logins}: logins a second, with and without the control link
- L{bench.loginphases}: what is measured there, and verified
- L{bench.contenders}: of whom: login servers and their gates
- L{bench.loginload}: many clients who log in
- L{bench.handshakes}: handshakes a second of a gate
- L{bench.replays}: how fast a gate gives the answers again that it has kept
- L{bench.holding}: what logins and connections take of memory
- L{bench.visits}: many clients who connect to a gate, ask, and go
- L{bench.visitfigures}: what is measured of them
- L{bench.controlled}: the gate of these three, which does as it is told
- L{bench.servers}: a process, its log and its CPU time
- L{bench.options}: command lines
- L{bench.figures}: medians, percentiles, tables
- L{bench.handlers}: what the servers run
"""
