"""
Strangers who mean harm: real servers, real sockets, and a user who wants to be served meanwhile.

C{python -m tests.attacks} (C{--help} says more) runs attack after attack, each against a server
of its own with its limits at their defaults, and writes a table of what each did to the server and
to its user. No figure of time is judged; what is judged is that every request of the user was
answered and every login of the user came through, that memory stayed within what the limits add
up to, and that all of it was given back.

- L{tests.attacks.raids}: many connections of one attacker, in one thread
- L{tests.attacks.tactics}: what an attacker does on a connection
- L{tests.attacks.attacks}: which attacks there are, and what memory each may cost
- L{tests.attacks.attacker}: the process that attacks
- L{tests.attacks.stage}: the server that is attacked
- L{tests.attacks.honest}: the user
- L{tests.attacks.watching}: what a process holds, before, during and after
- L{tests.attacks.handler}: what its gate runs
- L{tests.attacks.visits}: logins that an attacker is given, as everybody is
- L{tests.attacks.runs}: one attack from its begin to its end
- L{tests.attacks.verdict}: what a server and its user may suffer at most
- L{tests.attacks.tables}: what is printed
"""
