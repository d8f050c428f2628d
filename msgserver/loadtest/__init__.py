"""
C{msgserver-bench}: many users who lose their connections, and a look at every answer.

From the bottom up:

  - L{msgserver.loadtest.plan}: what is to be done, as a value that processes hand on
  - L{msgserver.loadtest.dialogue}: what is asked, and what must be answered
  - L{msgserver.loadtest.latencies}, L{msgserver.loadtest.results}: what has happened
  - L{msgserver.loadtest.client}: our Twisted client, with a look at what it would pass over
  - L{msgserver.loadtest.recorder}: takes that down
  - L{msgserver.loadtest.turns}: who may be connected when, where not all may
  - L{msgserver.loadtest.surroundings}, L{msgserver.loadtest.user}: one user
  - L{msgserver.loadtest.crew}: all users of a process: when they come, are cut, and go
  - L{msgserver.loadtest.credentials}, L{msgserver.loadtest.reaching}: as whom, and where
  - L{msgserver.loadtest.effort}: what the tester itself took
  - L{msgserver.loadtest.probe}: one request, before all others
  - L{msgserver.loadtest.worker}: a process; L{msgserver.loadtest.workers}: all of them;
    L{msgserver.loadtest.files}: how many connections each may have
  - L{msgserver.loadtest.server}: a server to try it on; L{msgserver.loadtest.demo}: its process
  - L{msgserver.loadtest.units}, L{msgserver.loadtest.conditions},
    L{msgserver.loadtest.figures}: what is made of the results, and what to think of them
  - L{msgserver.loadtest.live}, L{msgserver.loadtest.report}: as text
  - L{msgserver.loadtest.charts}, L{msgserver.loadtest.page}: as a page of HTML
  - L{msgserver.loadtest.optionvalues}, L{msgserver.loadtest.optiongroups},
    L{msgserver.loadtest.options}: the command line
  - L{msgserver.loadtest.running}: all of it together; L{msgserver.loadtest.command}: the command
"""
