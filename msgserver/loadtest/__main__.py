"""
C{python -m msgserver.loadtest} is C{msgserver-bench}.
"""

from msgserver.loadtest.command import main

if __name__ == "__main__":
    main()
