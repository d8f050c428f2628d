"""
Ready-made parts for the user's side of a gate and of a login server.

  - L{msgserver.handlers.agents}: an agent for each login, with what it needs beside it
  - L{msgserver.handlers.base}: a handler that does nothing yet
  - L{msgserver.handlers.logins}: a login handler with a table of users
  - L{msgserver.handlers.mailbox}: messages that a server pushes
"""

from msgserver.handlers.agents import Agent, AgentHandler
from msgserver.handlers.base import MsgHandler
from msgserver.handlers.logins import PasswordLoginHandler
from msgserver.handlers.mailbox import Mailbox

__all__ = ["Agent", "AgentHandler", "Mailbox", "MsgHandler", "PasswordLoginHandler"]
