import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import left_after, marked, new_mark

POOL = """
from concurrent.futures import wait
from time import sleep
from lightning_liver.machine import process_pool
if __name__ == "__main__":
    pool = process_pool(2)
    wait([pool.submit(sleep, 0.01) for _ in range(2)])
    print("ready", flush=True)
    sleep(60)
"""


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_the_process_that_was_killed(number: int) -> None:
    mark = new_mark()
    process = subprocess.Popen([sys.executable, "-c", POOL], env=os.environ | mark, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    assert len(marked(mark)) >= 3, "this process and two workers"
    process.send_signal(number)
    process.wait()
    assert not left_after(mark, 5)
