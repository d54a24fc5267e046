"""Python in a process of its own: what an import loads, and what a command prints."""

import os
import subprocess
import sys


def python(*arguments, timeout=300, cwd=None, **environment):
    """Run this interpreter with these arguments to its end; variables are added to the environment."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=cwd,
        env={**os.environ, **environment},
    )


def printed(code, **options):
    """What this code prints; it must end well."""
    done = python("-c", code, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def loaded(code, *packages):
    """Those of the packages that are loaded after this code."""
    done = python("-c", f"import sys; {code}; print(*[name for name in {packages!r} if name in sys.modules])")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.split()
