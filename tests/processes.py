"""Python in a process of its own: what an import loads, and what a command prints."""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["matplotlib.font_manager", "matplotlib.pyplot", "torchvision", "signxai", "signxai.cli.commands"])


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


def script(path, cwd, **environment):
    """Run a script to its end, warnings are errors, in a process that was forked off one that has loaded torch."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = _FORKS.Process(target=_run, args=(str(path), str(cwd), environment, str(out), str(err)))
        process.start()
        process.join(300)
        if process.is_alive():
            process.kill()
        process.join()
        return subprocess.CompletedProcess([str(path)], process.exitcode, out.read_text(), err.read_text())


def _run(path, cwd, environment, out, err):
    for name, stream in ((out, sys.stdout), (err, sys.stderr)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), stream.fileno())
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv, sys.path[0] = [path], os.path.dirname(path)
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)  # Keras' own, as it saves a model
    runpy.run_path(path, run_name="__main__")  # an error ends the process with its traceback and status 1
