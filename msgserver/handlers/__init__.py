"""
Ready-made parts for the user's side of a gate and of a login server.

- L{msgserver.handlers.base}: a handler that does nothing yet
- L{msgserver.handlers.logins}: a login handler with a table of users
"""

from msgserver.handlers.base import MsgHandler
from msgserver.handlers.logins import PasswordLoginHandler

__all__ = ["MsgHandler", "PasswordLoginHandler"]
