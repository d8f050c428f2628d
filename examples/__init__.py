"""Examples, each of which runs as it stands."""
