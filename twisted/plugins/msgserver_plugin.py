"""Makes C{twistd msgserver} and C{twist msgserver} known."""

from twisted.application.service import ServiceMaker

msgserver = ServiceMaker(
    "msgserver",
    "msgserver.tap",
    "A login server and message gate whose clients survive lost connections.",
    "msgserver",
)
