"""What is typed while something is drawn: not shown, and the terminal as it was after, however the program ends."""

import os
import signal
import subprocess
import sys

import pytest

pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")

PROGRAM = """
import os, signal, sys, time
from aquatint.interface.echo import Echo

echo = Echo()
echo.stop()
echo.stop()
sys.stdout.write("stopped\\n")
sys.stdout.flush()
sys.stdin.readline()
{then}
"""


def _echoes(terminal: int) -> bool:
    return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)


def _ended(then: str) -> tuple[int, str, bool]:
    """Return how a program ends that stops the echo, reads a line and does `then`, what it shows, and the echo."""
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-c", PROGRAM.format(then=then)])
    shown = b""
    while b"stopped" not in shown:
        shown += os.read(terminal, 1024)
    assert not _echoes(terminal)
    os.write(terminal, b"typed\n")
    try:
        while read := os.read(terminal, 1024):
            shown += read
            if b"waits" in read:
                os.kill(process, signal.SIGTERM)
    except OSError:  # on Linux, when the last program has left it
        pass
    return os.waitpid(process, 0)[1], shown.decode(), _echoes(terminal)


@pytest.mark.parametrize(
    ("then", "status"),
    [
        ("echo.go_on(); echo.go_on()", 0),
        ("print('waits', flush=True); time.sleep(60)", signal.SIGTERM),
    ],
    ids=["by itself", "by a signal"],
)
def test_what_is_typed_is_not_shown(then: str, status: int) -> None:
    code, shown, echoes = _ended(then)
    assert (code, echoes) == (status, True)
    assert "typed" not in shown


def test_without_a_terminal_nothing_happens() -> None:
    code = "from aquatint.interface.echo import Echo\necho = Echo()\necho.stop()\necho.go_on()\nprint('done')"
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
