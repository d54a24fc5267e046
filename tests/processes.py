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
_FORKS.set_forkserver_preload(["matplotlib.font_manager", "matplotlib.pyplot", "torchvision", "signxai.inspecting", "signxai.cli.commands"])


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


def forked(*arguments, timeout=300, cwd=None, **environment):
    """The same as ``python``, by a process that is forked off one that has loaded torch: for what does not look at how loading goes."""
    with tempfile.TemporaryDirectory() as folder:
        process = Forked(*arguments, cwd=cwd, out=Path(folder) / "out", err=Path(folder) / "err", **environment)
        status = process.wait(timeout)
        return subprocess.CompletedProcess(arguments, status, process.out.read_text(), process.err.read_text())


class Forked:
    """A process that is forked off one that has loaded torch.

    Args:
        arguments: those of Python: a script, or ``-c`` and code, or ``-m`` and a module, and what it gets; ``-W error`` in front of them.
        cwd: the folder in which it runs.
        out: the file that takes what it prints; None: nobody reads it.
        err: the same for its errors; it may be a terminal.
        environment: variables that are added.
    """

    def __init__(self, *arguments, cwd=None, out=None, err=None, **environment):
        self.out, self.err = Path(out or os.devnull), Path(err or os.devnull)
        words = [str(word) for word in arguments]
        self._process = _FORKS.Process(target=_run, args=(words, str(cwd or os.getcwd()), environment, str(self.out), str(self.err)))
        self._process.start()
        self.pid = self._process.pid

    def poll(self):
        return self._process.exitcode

    def wait(self, timeout=300):
        self._process.join(timeout)
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        return self._process.exitcode

    def kill(self):
        self._process.kill()

    def send_signal(self, number):
        os.kill(self.pid, number)


def script(path, cwd, **environment):
    """Run a script to its end, warnings are errors."""
    return forked("-W", "error", path, cwd=cwd, **environment)


def _run(arguments, cwd, environment, out, err):
    for name, stream in ((out, sys.stdout), (err, sys.stderr)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NOCTTY), stream.fileno())
    os.environ.update(environment)
    os.chdir(cwd)
    multiprocessing.set_start_method(None, force=True)  # the one of its own, not that by which it was made
    if arguments[:2] == ["-W", "error"]:
        del arguments[:2]
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)  # Keras' own, as it saves a model
    how, *behind = arguments
    beside = cwd if how in ("-c", "-m") else os.path.dirname(how)
    sys.path[:0] = [beside, *environment.get("PYTHONPATH", "").split(os.pathsep)]
    sys.argv = [how, *behind]
    if how == "-c":
        del sys.argv[1]
        exec(compile(behind[0], "<string>", "exec"), {"__name__": "__main__"})
    elif how == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(behind[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(how, run_name="__main__")  # an error ends the process with its traceback and status 1
