"""The original's own example, name by name: for people who come from skynet."""
