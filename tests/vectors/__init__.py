"""
What every client must come to, to the byte.

- C{classic-crypt.json}, C{classic-transcript.json}: recorded from the original
- C{modern.json}: made by L{tests.vectors.makemodern}
"""
