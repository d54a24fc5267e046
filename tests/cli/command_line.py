"""The command line in a process of its own, and what is expected of its end."""

from places import PACKAGE_DATA
from processes import python

CHELSEA = PACKAGE_DATA / "chelsea.png"
MAIN = "from signxai.cli.commands import main; main()"


def in_a_process(*args, cwd=None, **env):
    return python("-m", "signxai", *args, cwd=cwd, **env)


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
