"""
Fuzzing: plays that nobody wrote, against both ports, both client ends, the parsers and the door.

An input is a I{play}: a text of one action a line, such as C{open 1} or C{ask 1 7 hello}. So
the mutations know the protocol: a play goes deep (right keys, right macs, several connections,
time that passes) and breaks one thing there. Any text is a play, lines that say nothing are
skipped; so the byte mutations of a fuzzing engine are of use as well.

- L{tests.fuzz.plays}: actions, their arguments, their text
- L{tests.fuzz.mutation}: plays at random, from nothing and from others
- L{tests.fuzz.stages}: what a play is run against, and what must hold of it
- L{tests.fuzz.watching}: what must hold of the log
- L{tests.fuzz.lines}: connections, from the side of their client
- L{tests.fuzz.servers}, L{tests.fuzz.handlers}, L{tests.fuzz.network}: what is around the ports
- L{tests.fuzz.gateport}, L{tests.fuzz.loginport}: the two ports; C{gateline} and C{loginline}:
  what must hold of one connection to each
- L{tests.fuzz.references}: the rules of the wire, written once more
- L{tests.fuzz.clients}, L{tests.fuzz.loginclient}, L{tests.fuzz.gateclient}: the client ends
- L{tests.fuzz.parsers}; L{tests.fuzz.door}, the control link's
- L{tests.fuzz.targets}: all of these by their names
- L{tests.fuzz.engine}: the loop that works everywhere; L{tests.fuzz.guided}: atheris, where
  there is one
- L{tests.fuzz.crashes}: what was found, made short; L{tests.fuzz.reached}: the lines reached
- C{corpus/TARGET/}: the plays that are kept; those with a name were written by hand

C{python -m tests.fuzz --help} says how to run it.
"""
