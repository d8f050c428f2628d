"""
Plays at random: from nothing, and from other plays.
"""

from __future__ import annotations

from random import Random

from tests.fuzz.plays import MAX_ACTIONS, Action, Grammar, Play

_MOST_NEW = 12
"""The actions that a new play has behind its opening."""

_MOST_CHANGES = 4


def makeAction(grammar: Grammar, random: Random) -> Action:
    """Make an action."""
    names = list(grammar.verbs)
    weights = [verb.weight for verb in grammar.verbs.values()]
    (name,) = random.choices(names, weights)
    return Action(name, tuple(kind.sample(random) for kind in grammar.verbs[name].kinds))


def makePlay(grammar: Grammar, random: Random) -> Play:
    """Make a play: an opening, and then anything."""
    opening = grammar.read(random.choice(grammar.openings).encode())
    if random.random() < 0.2:
        opening = mutate(grammar, opening, random)
    count = random.randint(1, _MOST_NEW)
    return (opening + tuple(makeAction(grammar, random) for _ in range(count)))[:MAX_ACTIONS]


def mutate(grammar: Grammar, play: Play, random: Random, other: Play = ()) -> Play:
    """
    Change a play in a few places.

    @param other: a play that parts may come from.
    """
    actions = list(play)
    for _ in range(random.randint(1, _MOST_CHANGES)):
        place = random.randint(0, len(actions))
        way = random.randrange(8)
        if way < 2 or not actions:
            actions.insert(place, makeAction(grammar, random))
        elif way == 2:
            del actions[place : place + random.randint(1, 3)]
        elif way == 3:
            piece = actions[place : place + random.randint(1, 4)]
            actions[place:place] = piece * random.randint(1, 3)
        elif way == 4:
            source = random.randrange(len(actions))
            actions.insert(place, actions.pop(source))
        elif way == 5 and other:
            start = random.randrange(len(other))
            actions[place:place] = other[start : start + random.randint(1, 8)]
        else:
            place = min(place, len(actions) - 1)
            actions[place] = _vary(grammar, actions[place], random)
    return tuple(actions[:MAX_ACTIONS]) or (makeAction(grammar, random),)


def _vary(grammar: Grammar, action: Action, random: Random) -> Action:
    kinds = grammar.verbs[action.verb].kinds
    if not kinds:
        return makeAction(grammar, random)
    values = list(action.values)
    place = random.randrange(len(kinds))
    kind = kinds[place]
    if random.random() < 0.5:
        values[place] = kind.sample(random)
    else:
        values[place] = kind.vary(values[place], random)
    return Action(action.verb, tuple(values))
