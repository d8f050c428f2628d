"""
Deliberate faults, applied one at a time: the suite must catch every one.

C{python -m tests.mutants} runs them all; its C{--help} says what else it does.

- C{faults/*.toml}: the faults
- L{tests.mutants.faultlist}: what a fault is
- L{tests.mutants.trees}: a copy of the tree, with one fault in it
- L{tests.mutants.suites}: which tests there are, and which of them to run first
- L{tests.mutants.child}: runs tests inside of a copy, and writes down what comes of each
- L{tests.mutants.trials}: starts that process, and judges what it wrote
- L{tests.mutants.guard}: ends that process, and all that it started, when nobody waits for it
- L{tests.mutants.simulated}: whether the simulator alone finds a fault
- L{tests.mutants.hunting}: all of it for one fault, and what is said of it
"""
