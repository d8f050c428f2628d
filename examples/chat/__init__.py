"""
A chat: rooms, presence, and a terminal to talk in. What it shows is in README.md beside this.

- L{examples.chat.words}: what clients ask and the server tells, as JSON
- L{examples.chat.rooms}: who is in which room, and what was said there last
- L{examples.chat.server}: the handler
- L{examples.chat.screen}: what a terminal shows of it
- L{examples.chat.talker}: what one who talks has asked and heard
- L{examples.chat.client}: the terminal client
- L{examples.chat.crowd}: many at once, whose connections break, and who count what they hear
"""
