"""The game of the examples as players see it: its server and its clients are real processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from examples.game import marketserver, orders
from examples.game.market import parse
from examples.game.server import LONGEST_REQUEST, GameHandler
from examples.game.store import KEPT_DAYS, Order, Store
from tests.endtoend.processes import PATIENCE, ROOT, Server
from tests.endtoend.test_examples import onFreePorts
from tests.pages import blocks, shownIn, tables

PAGE = "examples/game/README.md"

MARKET_PATIENCE = 120.0
"""Seconds until a market is given up that takes a few, on a machine with nothing else to do."""


class CarelessStore(Store):
    """Has no memory for ids: whatever is asked again is done again."""

    def _verdict(self, order: Order) -> tuple[bool, str] | None:
        return None

    def _note(self, order: Order, isDone: bool, answer: str) -> None:
        forget = "delete from orders where player = ? and id = ?"
        self._database.execute(forget, (order.player, order.id))
        super()._note(order, isDone, answer)


CarelessHandler = partial(GameHandler, makeStore=CarelessStore)
"""What a market is given to show that its check can fail."""


def fragileHandler(file: str, openingCents: int) -> GameHandler:
    """Make what a market is given to show what it says when the server does not come back."""
    if Path(file).exists():
        raise ValueError("once is enough")
    return GameHandler(file, openingCents)


def runMarket(*options: str) -> subprocess.CompletedProcess[str]:
    """Run a small market."""
    small = ["--purchases", "300", "--players", "10", "--seconds", "100"]
    return subprocess.run(
        [sys.executable, "-m", "examples.game.market", *small, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=MARKET_PATIENCE,
    )


def figures(output: str) -> dict[str, str]:
    """Read a market's table."""
    return dict(re.findall(r"^(\w[\w, ]+?) {2,}(\S+)$", output, re.M))


class MarketTests(SynchronousTestCase):
    """examples/game/market.py."""

    def test_holds(self) -> None:
        """With cuts, second logins and a server that dies, each purchase happens once."""
        ended = runMarket("--seed", "1", "--cuts", "60", "--second-logins", "10", "--kill-server=2")
        self.assertEqual((ended.returncode, ended.stderr), (0, ""), ended.stdout)
        told = figures(ended.stdout)
        again = [int(told.pop(f"asked again, {which} login")) for which in ("same", "next")]
        self.assertTrue(all(again), again)
        self.assertEqual(
            told,
            {
                "purchases": "300",
                "players": "10",
                "seed": "1",
                "connections cut": "60",
                "second logins": "10",
                "server kills": "2",
                "money before": "1000000000.00",
                "money after": "1000000000.00",
                "purchases in the database": "300",
                "doubled": "0",
                "lost": "0",
                "faults": "0",
            },
        )

    def test_canFail(self) -> None:
        """A server that does not know ids again buys twice, and the market says so."""
        # A second device asks every tenth purchase again: that is what ids are for.
        ended = runMarket(
            "--cuts=0",
            "--second-logins=30",
            "--handler=tests.endtoend.test_game:CarelessHandler",
        )
        self.assertEqual((ended.returncode, ended.stderr), (1, ""), ended.stdout)
        told = figures(ended.stdout)
        self.assertGreater(int(told["doubled"]), 0)
        self.assertGreater(int(told["faults"]), 0)
        # It takes money for what it does twice, so the sum alone shows nothing.
        self.assertEqual(told["money before"], told["money after"])
        self.assertRegex(ended.stdout, r"! player\d has bought \d+ \w+, and has \d+\n")
        self.assertEqual(ended.stdout.count("\n! "), 11)

    def test_noServer(self) -> None:
        """A server that does not start is one line."""
        ended = runMarket("--handler=examples.game.nowhere:Handler")
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
        self.assertEqual(len(ended.stderr.splitlines()), 1, ended.stderr)
        self.assertIn("the server does not start: ", ended.stderr)

    def test_notBack(self) -> None:
        """Nor is a server that does not come back when it has died more than one line."""
        ended = runMarket("--kill-server=1", "--handler=tests.endtoend.test_game:fragileHandler")
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
        self.assertEqual(len(ended.stderr.splitlines()), 1, ended.stderr)
        self.assertIn("once is enough", ended.stderr)

    def test_seconds(self) -> None:
        """A market that takes longer than it may is given up, in one line."""
        ended = runMarket("--purchases=100000", "--seconds=1")
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
        self.assertRegex(ended.stderr, r"\A\d+ purchases were answered in 1 s\n\Z")

    def test_mistakes(self) -> None:
        """A number that cannot be is one line after the usage."""
        for mistake in ("--purchases=0", "--players=1", "--cuts=-1", "--cuts=301", "--seed=x"):
            ended = runMarket(mistake)
            self.assertEqual((ended.returncode, ended.stdout), (2, ""), mistake)
            self.assertNotIn("Traceback", ended.stderr)


class GameTestCase(SynchronousTestCase):
    """A server with game.toml, but for its ports and its database."""

    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        self.serve()

    def serve(self) -> None:
        """Start the server."""
        config = onFreePorts("game/game.toml")
        config = config.replace('"game.sqlite"', f'"{self.folder / "game.sqlite"}"')
        self.server = Server(self.folder, config).__enter__()
        self.addCleanup(self.server.__exit__, None, None, None)

    def play(
        self, typed: str, *options: str, user: str = "alice", password: str | None = "password"
    ) -> subprocess.CompletedProcess[str]:
        """Run the client, with what is typed in a pipe."""
        environment = {**os.environ, "NO_COLOR": ""}
        environment.pop("GAME_PASSWORD", None)
        if password is not None:
            environment["GAME_PASSWORD"] = password
        ports = {name: f"tcp:127.0.0.1:{port}" for name, port in self.server.ports.items()}
        return subprocess.run(
            [
                *(sys.executable, "-m", "examples.game.client", user),
                *(f"--login={ports['login']}", f"--gate={ports['gate']}", *options),
            ],
            cwd=ROOT,
            env=environment,
            input=typed,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def told(self, typed: str, user: str = "alice", password: str = "password") -> list[str]:
        """Play, and give what was shown."""
        played = self.play(typed, user=user, password=password)
        self.assertEqual((played.returncode, played.stderr), (0, ""), played.stdout)
        return played.stdout.splitlines()


class GameTests(GameTestCase):
    """examples/game, played."""

    def test_cut(self) -> None:
        """A purchase whose connection is cut happens once, and is answered; all is plain text."""
        self.assertEqual(
            self.told("buy rope\n/cut buy lantern\ninventory\n/quit\nnot reached\n"),
            [
                "* logged in",
                "you buy a rope for 2.50; you have 97.50",
                "* the connection is lost, the login is not",
                "* connected again, under the same login",
                "you buy a lantern for 12.99; you have 84.51",
                "you have 84.51, 1 lantern, 1 rope",
            ],
        )

    def test_saved(self) -> None:
        """A second login finds a player where the first had gone, and so does the next server."""
        self.told("go mine\ndig\n")
        self.assertIn("you dig, and find 1.75; you have 103.50", self.told("dig\n"))
        self.server.stop()
        self.serve()
        self.assertIn("you dig, and find 1.75; you have 105.25", self.told("dig"))

    def test_crash(self) -> None:
        """A server that dies takes the way gone with it, and no money."""
        self.told("go mine\ndig\n")
        self.server.process.kill()
        self.server.process.wait()
        self.serve()
        refused = "no: there is nothing to dig for here: go mine"
        self.assertEqual(self.told("dig\ninventory\n")[1:], [refused, "you have 101.75"])

    def test_gift(self) -> None:
        """Money goes from one player to another who has played before."""
        self.assertIn("no: there is no such player", self.told("give bob 2.50\n"))
        self.told("look\n", "bob", "secret")
        self.assertIn("you give bob 2.50; you have 97.50", self.told("give bob 2.50\n"))
        self.assertIn("you have 102.50", self.told("inventory\n", "bob", "secret"))

    def test_noEntry(self) -> None:
        """A wrong password, no password and no server are one line each."""
        refused = self.play("look\n", password="wrong")
        self.assertEqual((refused.returncode, refused.stdout), (1, ""))
        self.assertEqual(refused.stderr, "alice was refused: 401 Unauthorized\n")
        without = self.play("look\n", password=None)
        self.assertEqual((without.returncode, without.stdout), (2, ""))
        self.assertIn("no password: set GAME_PASSWORD, or give --password-file\n", without.stderr)
        self.server.stop()
        nobody = self.play("look\n")
        self.assertEqual((nobody.returncode, nobody.stdout), (1, ""))
        self.assertRegex(nobody.stderr, r"\Ano connection: .*\n\Z")

    def test_passwordFile(self) -> None:
        """The password may be in a file."""
        file = self.folder / "password"
        file.write_text("password\n")
        played = self.play("inventory\n", f"--password-file={file}", password=None)
        self.assertEqual(played.stdout, "* logged in\nyou have 100.00\n")
        missing = self.play("inventory\n", f"--password-file={file}.none", password=None)
        self.assertEqual(missing.returncode, 2)
        self.assertIn("No such file or directory\n", missing.stderr)

    def test_mistakes(self) -> None:
        """An option that is no good is told in a line."""
        for mistake in ("--login=nonsense", "--identity=nonsense"):
            played = self.play("look\n", mistake)
            self.assertEqual((played.returncode, played.stdout), (2, ""), mistake)
            self.assertNotIn("Traceback", played.stderr)


class PageTests(GameTestCase):
    """examples/game/README.md."""

    def commands(self) -> list[str]:
        """Give the commands that the page only names."""
        shell = [block.code for block in blocks(PAGE) if block.language == "sh"]
        return "".join(shell).splitlines()

    def test_console(self) -> None:
        """What the page shows is what is shown."""
        places = " ".join(
            f"--{name}=tcp:127.0.0.1:{port}" for name, port in self.server.ports.items()
        )
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        shown = [each for block in blocks(PAGE) for each in shownIn(block)]
        self.assertEqual(len(shown), 1)
        for command, output in shown:
            told = subprocess.run(
                command.replace("game.client ", f"game.client {places} "),
                shell=True,
                cwd=ROOT,
                env={**os.environ, "PATH": path},
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            self.assertEqual((told.stdout, told.stderr), (output, ""), command)

    def test_server(self) -> None:
        """The config that the page starts the server with is the one of these tests."""
        [command] = [each for each in self.commands() if each.startswith("twistd ")]
        self.assertEqual(command, "twistd -n msgserver --config examples/game/game.toml")

    def test_client(self) -> None:
        """The client is started as the page says; the user is all that it must be told."""
        [command] = [each for each in self.commands() if "game.client" in each]
        self.assertEqual(command, "python -m examples.game.client alice")
        self.assertEqual(self.told("/quit\n"), ["* logged in"])

    def test_commands(self) -> None:
        """Each command that the page lists is one."""
        self.told("look\n", "bob", "secret")
        listed = [
            cell for row in tables(PAGE, "## Play") for cell in re.findall(r"`(.+?)`", row[0])
        ]
        self.assertEqual(listed[-1], "/quit")
        played = self.told("\n".join(listed))
        refusals = [line for line in played if line.startswith("no: ")]
        # When it is dig's turn, the player has gone back to town.
        self.assertEqual(refusals, ["no: there is nothing to dig for here: go mine"])
        self.assertNotIn("/cut, /cut COMMAND, /quit", played)

    def test_market(self) -> None:
        """The short market is well; the long ones are what their table says."""
        short, *long = [
            each.split()[3:]
            for each in self.commands()
            if each.startswith("python -m examples.game.market")
        ]
        ended = runMarket(*short)
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
        rows = {row[0]: row[1:] for row in tables(PAGE, "## The market")}
        seconds = rows.pop("seconds")
        self.assertEqual(len(seconds), len(long))
        self.assertEqual(list(rows), list(figures(ended.stdout)))
        for column, arguments in enumerate(long):
            options = parse(arguments)
            told = {name: row[column] for name, row in rows.items()}
            self.assertEqual(
                [told[name] for name in ("purchases", "players", "seed", "connections cut")],
                [
                    str(each)
                    for each in (options.purchases, options.players, options.seed, options.cuts)
                ],
            )
            self.assertEqual(
                (told["second logins"], told["server kills"]),
                (str(options.second_logins), str(options.kill_server)),
            )

    def test_limits(self) -> None:
        """The limits are those of the code and of the config."""
        config = tomllib.loads((ROOT / "examples" / "game" / "game.toml").read_text())
        gate = config["gate"]
        named = {
            "KEPT_DAYS": KEPT_DAYS,
            "LONGEST_REQUEST": LONGEST_REQUEST,
            "PAUSE": orders.PAUSE,
            "MAX_FAILURES": orders.MAX_FAILURES,
            "PATIENCE": marketserver.PATIENCE,
            "request_rate": gate["request_rate"],
            "request_burst": gate["request_burst"],
            "openingCents": gate["handler_options"]["openingCents"],
            "--seconds": parse([]).seconds,
        }
        rows = tables(PAGE, "## Limits")
        told = {row[1].split("`")[1]: row[2].strip("`") for row in rows}
        self.assertEqual(told, {name: str(value) for name, value in named.items()})

    def test_files(self) -> None:
        """Each file is named."""
        named = [row[0].strip("`") for row in tables(PAGE, "## The files")]
        there = [each.name for each in (ROOT / "examples" / "game").iterdir() if each.is_file()]
        self.assertEqual(sorted(named), sorted({*there} - {"README.md", "__init__.py"}))
