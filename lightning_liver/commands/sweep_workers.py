"""Worker processes of a sweep by hydra/launcher=joblib."""

import os
from functools import partial

from joblib import register_parallel_backend
from joblib._parallel_backends import LokyBackend

from lightning_liver.machine import end_with


def end_with_the_sweep() -> None:
    """Have joblib's workers end with this process: Hydra's launcher has no option for an initialiser."""
    backend = partial(LokyBackend, initializer=end_with, initargs=(os.getpid(),))
    register_parallel_backend("loky", backend)
