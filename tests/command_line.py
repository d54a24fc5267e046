"""The command line, called in this process or in one of its own, and what is expected of its end."""

import subprocess
import sys

import pytest

from places import PACKAGE_DATA
from processes import forked, python
from signxai import cli

CHELSEA = PACKAGE_DATA / "chelsea.png"
MAIN = "from signxai.cli.commands import main; main()"


def in_a_process(*args, cwd=None, **env):
    """One that is forked off another, which has loaded torch; how loading goes is seen in `in_a_new_interpreter`."""
    return forked("-m", "signxai", *args, cwd=cwd, **env)


def in_a_new_interpreter(*args, cwd=None, **env):
    return python("-m", "signxai", *args, cwd=cwd, **env)


def in_this_process(*args, capsys):
    """Without loading torch again."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["signxai", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    out, err = capsys.readouterr()
    return subprocess.CompletedProcess(args, ended.value.code, out, err)


def with_arguments(*args):
    """Code that sets the command's arguments."""
    return f"import sys; sys.argv = {['signxai', *map(str, args)]!r}"


def explained(done):
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refused(done, *words):
    """It ended with status 2 and one line on stderr that has all the words."""
    assert done.returncode == 2, done.stdout + done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("signxai: ")
    assert [word for word in words if word not in line] == [], line
    return line
