"""recipes/serve.py as a process of its own, from ready to stopped."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from recipes.benchmarks.callers import ADMIN_TOKEN, Caller

SERVE = Path(__file__).parents[1] / "serve.py"


@contextlib.asynccontextmanager
async def served(model: Path, state: Path, options: Sequence[str]) -> AsyncIterator[int]:
    """Run the service as a process, from ready to stopped, and yield its port.

    Args:
        model: The model directory.
        state: The service's directory; its log goes beside it, to ``serve.log``.
        options: More options of recipes/serve.py.

    Raises:
        RuntimeError: When the service ends before it is ready, or otherwise than by the signal.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = (
        sys.executable, str(SERVE), f"--model={model}", f"--state={state}", f"--port={port}",
        *options,
    )  # fmt: skip
    log_file = state.parent / "serve.log"
    with log_file.open("w") as log:
        environment = os.environ | {"GENREC_ADMIN_TOKEN": ADMIN_TOKEN}
        process = subprocess.Popen(command, stderr=log, env=environment)
        try:
            await _ready(port, process, log_file)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            ended = process.wait(60)
    # A server that finished what it had ends by the signal, too, so that its keeper knows why.
    if ended not in (0, -signal.SIGTERM):
        raise _ended(process, log_file)


async def memory_mib(port: int) -> float:
    """Read how much memory the service takes, in MiB."""
    text = (await Caller(port).ask("GET", "/metrics"))[1].decode()
    found = re.search(r"^process_resident_memory_bytes (\S+)", text, re.MULTILINE)
    assert found is not None
    return float(found[1]) / 2**20


async def _ready(port: int, process: subprocess.Popen[bytes], log_file: Path) -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError):
            if (await Caller(port).ask("GET", "/ready"))[0] == 200:
                return
        await asyncio.sleep(0.2)
    raise _ended(process, log_file)


def _ended(process: subprocess.Popen[bytes], log_file: Path) -> RuntimeError:
    told = log_file.read_text()[-2000:]
    return RuntimeError(f"recipes/serve.py ended with {process.returncode}:\n{told}")
