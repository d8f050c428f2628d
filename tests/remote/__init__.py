"""
Tests for L{msgserver.remote}: the control link, in memory.
"""
