"""Tests for L{msgserver.loadtest}."""
