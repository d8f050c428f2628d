"""
Tests for L{msgserver.commandline.commands}: what a line means.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from msgserver.commandline.commands import (
    HELP,
    MAX_REPEAT,
    MAX_SLEEP,
    VERBS,
    Command,
    Do,
    Expect,
    ExpectFail,
    ExpectMessage,
    Messages,
    Mistake,
    Repeat,
    Send,
    SendFile,
    Sleep,
    parse,
)
from msgserver.wire.framing import MAX_REQUEST


class ParseTests(SynchronousTestCase):
    """Lines, and the commands that they are."""

    def assertMeans(self, line: str, command: Command | None) -> None:
        """See what a line of a script is."""
        self.assertEqual(parse(line), command, line)

    def test_send(self) -> None:
        """What is sent is what stands behind one space, as UTF-8, to the line's end."""
        self.assertMeans("send hello", Send(b"hello"))
        self.assertMeans("  send  two  spaces ", Send(b" two  spaces "))
        self.assertMeans("send\ttab", Send(b"tab"))
        self.assertMeans("send gr\u00fcezi", Send("gr\u00fcezi".encode()))
        self.assertMeans("send", Send(b""))
        self.assertMeans("send ", Send(b""))

    def test_sendBytes(self) -> None:
        """Bytes that are no UTF-8 are sent as they came to Python."""
        line = b"send \xff".decode("utf-8", "surrogateescape")
        self.assertMeans(line, Send(b"\xff"))

    def test_hex(self) -> None:
        """Bytes are written in hexadecimal, with or without spaces."""
        self.assertMeans("hex 00ff 10", Send(b"\0\xff\x10"))
        self.assertMeans("hex", Send(b""))
        self.assertMeans("expect-hex FF", Expect(b"\xff"))

    def test_others(self) -> None:
        """Each of the other verbs takes what help says."""
        self.assertMeans("file a b.bin", SendFile("a b.bin"))
        self.assertMeans("expect  x ", Expect(b" x "))
        self.assertMeans("expect", Expect(b""))
        self.assertMeans("expect-fail", ExpectFail(None))
        self.assertMeans("expect-fail no", ExpectFail(b"no"))
        self.assertMeans("sleep 0.5", Sleep(0.5))
        self.assertMeans(f"sleep {MAX_SLEEP}", Sleep(MAX_SLEEP))
        self.assertMeans("messages", Messages(b""))
        self.assertMeans("expect-message a", ExpectMessage(b"a"))
        self.assertMeans("messages poll ", Messages(b"poll "))
        for verb in ("wait", "cut", "offline", "online", "status", "help", "quit"):
            self.assertMeans(verb, Do(verb))
            self.assertMeans(f"{verb}  ", Do(verb))

    def test_repeat(self) -> None:
        """Any command may be repeated, but for repeats."""
        self.assertMeans("repeat 3 send  a", Repeat(3, Send(b" a")))
        self.assertMeans(f"repeat {MAX_REPEAT} wait", Repeat(MAX_REPEAT, Do("wait")))

    def test_nothing(self) -> None:
        """Empty lines and, but at a prompt, comments are nothing to do."""
        for line in ("", "   ", "# send hello", "  #"):
            self.assertMeans(line, None)
        self.assertEqual(parse("  ", isTyped=True), None)
        self.assertEqual(parse("#1", isTyped=True), Send(b"#1"))

    def test_typed(self) -> None:
        """At a prompt, a line that begins with no command is sent as it is."""
        self.assertEqual(parse(" hello there ", isTyped=True), Send(b" hello there "))
        self.assertEqual(parse("Send x", isTyped=True), Send(b"Send x"))
        self.assertEqual(parse("send x", isTyped=True), Send(b"x"))
        self.assertEqual(parse("wait", isTyped=True), Do("wait"))

    def test_mistakes(self) -> None:
        """Whatever is none is refused, and the text says what is wanted."""
        for line, text in (
            ("sent hello", '"sent" is no command'),
            ("wait for it", "wait takes nothing"),
            ("hex 0", "hexadecimal digits are wanted"),
            ("hex gg", "hexadecimal digits are wanted"),
            ("file", "which file"),
            ("repeat", "how many times"),
            ("repeat 0 cut", "how many times"),
            ("repeat -1 cut", "how many times"),
            (f"repeat {MAX_REPEAT + 1} cut", str(MAX_REPEAT)),
            ("repeat \u0663 cut", "how many times"),
            (f"repeat {'9' * 5000} cut", "how many times"),
            ("repeat 3", "repeat what"),
            ("repeat 3 repeat 3 cut", "not repeated"),
            ("repeat 3 # no", "repeat what"),
            ("repeat 3 nonsense", '"nonsense" is no command'),
            ("sleep", "how long"),
            ("sleep -1", "how long"),
            ("sleep nan", "how long"),
            ("sleep inf", "how long"),
            (f"sleep {MAX_SLEEP + 1}", "how long"),
        ):
            mistake = self.assertRaises(Mistake, parse, line)
            self.assertIn(text, str(mistake), line)

    def test_longest(self) -> None:
        """What fits no request is refused, however it is written; what just fits is not."""
        self.assertEqual(parse("send " + "x" * MAX_REQUEST), Send(b"x" * MAX_REQUEST))
        self.assertEqual(parse("hex " + "00" * MAX_REQUEST), Send(bytes(MAX_REQUEST)))
        for line in ("send " + "x" * (MAX_REQUEST + 1), "hex " + "00" * (MAX_REQUEST + 1)):
            self.assertIn(str(MAX_REQUEST), str(self.assertRaises(Mistake, parse, line)))
        self.assertRaises(Mistake, parse, "\u00e9" * MAX_REQUEST, isTyped=True)

    def test_help(self) -> None:
        """Help has a line for each command, which does not fold on a terminal."""
        lines = HELP.splitlines()
        self.assertEqual([line.split()[0] for line in lines], list(VERBS))
        for line in lines:
            # --help indents them by two.
            self.assertLessEqual(len(line), 77)
