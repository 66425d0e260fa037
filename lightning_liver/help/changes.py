"""Choices that mean something else than in an earlier version: told once to a user who types one."""

from collections.abc import Sequence

from lightning_liver.machine import user_cache

_TRAINER_GPU = (
    "trainer=gpu is only the device now: network, learning rate, pixel size, crop and batch are the usual ones. The "
    "recipe that it was is experiment=full_resolution; type python train.py experiment=full_resolution trainer=gpu ... "
    "This is said once."
)


def told_once(arguments: Sequence[str]) -> str | None:
    """Return what changed about a choice of a command line, the first time that this user types it; else None.

    The user's cache remembers it. Where that cannot be written to, it is said each time.
    """
    has_recipe = any(argument.lstrip("+").startswith("experiment=full_resolution") for argument in arguments)
    if "trainer=gpu" not in arguments or has_recipe:
        return None
    cache = user_cache()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        (cache / "told-trainer-gpu").touch(exist_ok=False)
    except FileExistsError:
        return None
    except OSError:  # a home that cannot be written to
        pass
    return _TRAINER_GPU
