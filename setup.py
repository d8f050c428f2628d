"""
What pyproject.toml cannot say: how to compile the hot path, for those who ask.

C{MSGSERVER_COMPILE=1 pip install .} has mypyc compile L{FILES}, as they stand, to C extensions
that Python prefers to them. That needs a C compiler, and takes half a minute; without it there
is nothing to compile, and the same files are interpreted.
"""

import os
import shlex
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from shutil import which
from sysconfig import get_config_var

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

NAME = "MSGSERVER_COMPILE"
FILES = ["msgserver/current.py", "msgserver/kept.py", "msgserver/sessions.py"]


class Compile(build_ext):
    """Have mypyc make the extensions, no earlier than they are asked for: it may not be there."""

    def run(self) -> None:
        """Translate, and compile."""
        try:
            from mypyc.build import mypycify
        except ImportError:
            sys.exit(f"{NAME}=1 needs mypy: pip install mypy")
        self.distribution.ext_modules = mypycify(
            # What these files import is looked at, but neither judged nor compiled; our own
            # settings name plugins that need not be here.
            [
                "--config-file=",
                f"--cache-dir={os.devnull}",
                "--follow-imports=silent",
                "--ignore-missing-imports",
                *FILES,
            ],
            group_name="msgserver",
            target_dir=self.build_temp,
        )
        self.force = True
        # Once more, for that is where extensions are taken up; it fails on what it has split.
        self.swig_opts = None
        self.finalize_options()
        super().run()


class Interpret(build_py):
    """Install what is interpreted, and nothing else."""

    def run(self) -> None:
        """In a checkout that is run in place, remove what was compiled there before."""
        if self.editable_mode:
            for folder in (Path(), Path("msgserver")):
                for compiled in folder.glob(f"*{EXTENSION_SUFFIXES[0]}"):
                    compiled.unlink()
        super().run()


def checkCompiler() -> None:
    """See that there is a C compiler, before anything is fetched that needs one."""
    compiler = shlex.split(os.environ.get("CC") or get_config_var("CC") or "")
    if compiler and which(compiler[0]) is None:
        sys.exit(f"{NAME}=1 needs a C compiler, and there is no {compiler[0]}; see CC")


wanted = os.environ.get(NAME, "0")
if wanted not in ("", "0", "1"):
    sys.exit(f"{NAME} is 1 or 0, not {wanted!r}")
if wanted == "1":
    checkCompiler()
    setup(
        # Besides mypyc itself, what the types of the files are made with.
        setup_requires=["mypy>=2", "attrs>=23.2"],
        # Placeholders, so that this is known not to be pure Python; see Compile.
        ext_modules=[Extension(file[:-3].replace("/", "."), [file]) for file in FILES],
        cmdclass={"build_ext": Compile},
    )
else:
    setup(cmdclass={"build_py": Interpret})
