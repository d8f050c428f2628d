"""C{python -m msgserver.commandline} is C{msgserver-client}."""

from msgserver.commandline import main

if __name__ == "__main__":
    main()
