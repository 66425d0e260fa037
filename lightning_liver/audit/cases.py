"""Work on every case of a store, in worker processes."""

from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from lightning_liver.data.store import Store
from lightning_liver.errors import LiverError
from lightning_liver.machine import process_pool

_Result = TypeVar("_Result")


def of_cases(
    work: Callable[[Store, str], _Result], store: Store, names: Sequence[str], *, workers: int
) -> list[_Result]:
    """Return the result of some work on each of the named cases, in their order.

    Args:
        work: a function of a module, so that processes can import it.
        workers: processes; 0 works in this one.

    Raises:
        LiverError: a case is damaged, or a process was killed.
    """
    if workers == 0 or len(names) < 2:
        return [work(store, name) for name in names]
    found: dict[str, _Result] = {}
    with process_pool(min(workers, len(names))) as pool:
        # a store that heals is not sent: its scans are prepared by the process that has them
        futures = {pool.submit(work, Store(store.folder, {name: store.cases[name]}), name): name for name in names}
        try:
            for future in as_completed(futures):
                found[futures[future]] = future.result()
        except BrokenProcessPool:
            raise LiverError("a worker process was killed, most likely out of memory; use data.workers=1") from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return [found[name] for name in names]
