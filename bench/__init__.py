"""
The benchmarks. Each is a program, C{python -m bench.NAME}, or C{make bench-NAME}.

Servers are processes of their own, as they would be anywhere; contenders take turns, round by
round, so that a machine's mood is the same for all of them; every answer is verified; and what
is printed are medians, how far the rounds lie apart, and ratios within the same rounds.

- L{bench.logins}: logins a second, with and without the control link
- L{bench.loginphases}: what is measured there, and verified
- L{bench.contenders}: of whom: login servers and their gates
- L{bench.loginload}: many clients who log in
- L{bench.servers}: a process, its log and its CPU time
- L{bench.figures}: medians, percentiles, tables
- L{bench.handlers}: what the servers run
"""
