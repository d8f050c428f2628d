"""
The promise of delivery, searched: real servers and clients on a network in memory, of one seed.

- L{tests.simulation.network}: the network; Twisted's own transports stand on it
- L{tests.simulation.clients}, L{tests.simulation.handlers}: who uses the servers, and the
  application behind them
- L{tests.simulation.world} and the steps: what there is, and what may happen
- L{tests.simulation.model}: what servers may do and must, rule by rule
- L{tests.simulation.running}: plays worlds, and makes the history of a fault short
"""
