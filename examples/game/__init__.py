"""
A small game whose players' money outlives broken connections, second logins and crashes.
"""
