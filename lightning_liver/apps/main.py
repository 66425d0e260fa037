"""Entry of every command: config, job, and mistakes answered by a message and exit code 2."""

import atexit
import functools
import gc
import logging
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from lightning_liver import config
from lightning_liver.apps.console import ending_as_by_ctrl_c, forgiving_streams, silent_about_full_disks
from lightning_liver.apps.new_folder import new_folder, note_failure, remove_new_folder
from lightning_liver.apps.sweep_end import how_to_continue, print_sweep_end
from lightning_liver.errors import Interrupted, LiverError, PartlyDone, Pruned, cannot_write
from lightning_liver.help.flags import refuse_flags
from lightning_liver.help.mistakes import answer
from lightning_liver.help.screen import help_text
from lightning_liver.help.unread import adds_options, refuse_unread
from lightning_liver.machine import started_as

log = logging.getLogger(__name__)

Job = Callable[[DictConfig, Path], object]

EXPECTED = (LiverError, HydraException, OmegaConfBaseException)  # shown as messages
_return_value: Any = JobReturn.return_value


def command(config_name: str) -> Callable[[Callable[[], Job]], Callable[[], None]]:
    """Make a console entry of a function that imports a command and returns it.

    The function is called with the config composed: --help and a mistyped option do not wait for that import.
    """

    def entry(load: Callable[[], Job]) -> Callable[[], None]:
        @functools.wraps(load)
        def main() -> None:
            launch(config_name, load)

        return main

    return entry


@forgiving_streams()
@silent_about_full_disks()
@ending_as_by_ctrl_c()
def launch(config_name: str, load: Callable[[], Job]) -> None:
    """Print the help that is asked for, else run the job with the composed config and its run folder."""
    sys.argv[1:] = with_home(sys.argv[1:])
    if started := started_as():
        sys.argv[1:] += _of_rank(started[0])
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands errors on instead of printing and leaving with code 1

    @hydra.main(version_base="1.3", config_path=str(config.folder()), config_name=config_name)
    def main(cfg: DictConfig) -> object:
        return run_job(config_name, load, cfg)

    try:
        refuse_flags(config_name, sys.argv[1:])
        if text := help_text(config_name, sys.argv[1:]):
            print(text)
        else:
            main()
    except EXPECTED as error:
        if not isinstance(error, Interrupted):  # its message names the folder
            remove_new_folder()
        note_failure(error)
        print_sweep_end()
        stop(error)
    except KeyboardInterrupt:
        print(f"Interrupted. {how_to_continue()}".rstrip(), file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        note_failure(error)
        if not (told := cannot_write(error, new_folder() or "a file")):
            raise
        print_sweep_end()
        stop(LiverError(told))
    print_sweep_end()


def _of_rank(rank: int) -> list[str]:
    """Return overrides that keep a process that trains with the first one, rank 0, from files of its own."""
    if rank == 0:
        return []
    scratch = tempfile.mkdtemp(prefix="liver-rank-")
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    folders = [f"hydra.run.dir={scratch}", f"hydra.sweep.dir={scratch}", "hydra.output_subdir=null"]
    return [*folders, "hydra/job_logging=none", "hydra/hydra_logging=none"]


def with_home(arguments: Sequence[str]) -> list[str]:
    """Return overrides with the home folder for a ~ that begins a value, which Hydra cannot parse: data.root=~/lits."""
    return [re.sub(r"^([^=~]+)=(~(?:/.*)?)$", _home, argument, flags=re.DOTALL) for argument in arguments]


def _home(found: re.Match[str]) -> str:
    return f"{found[1]}={config.typed(str(Path(found[2]).expanduser()))}"


@forgiving_streams()
def say(answer: Callable[[], str]) -> None:
    """Print an answer, or what is wrong."""
    try:
        print(answer())
    except LiverError as error:
        stop(error)
    except OSError as error:
        if not (told := cannot_write(error)):
            raise
        stop(LiverError(told))


def run_job(config_name: str, load: Callable[[], Job], cfg: DictConfig) -> object:
    """Return what the job returns. In a sweep, a job that fails says so at once: the others go on.

    It is a function of a module so that a launcher's worker processes import it, and with it the config's resolvers.
    """
    if multiprocessing.get_start_method(allow_none=True) == "loky":
        # its workers pass it on to the processes that draw, prepare and load, which do not know it
        multiprocessing.set_start_method(None, force=True)
    if HydraConfig.get().job.chdir:
        raise LiverError(
            "hydra.job.chdir=true: expected false, since relative paths begin where the command is typed; leave it "
            f"out: a run writes into its own folder, {HydraConfig.get().runtime.output_dir}, without it"
        )
    try:
        if adds_options(HydraConfig.get()):
            refuse_unread(config_name, cfg, HydraConfig.get().runtime.choices)
        job = _loaded(load)
        return job(cfg, Path(HydraConfig.get().runtime.output_dir))
    except Pruned:  # not a failure
        raise
    except Interrupted as error:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise KeyboardInterrupt from error  # Hydra goes on with the next job after an Exception
        raise
    except Exception as error:
        if told := cannot_write(error, HydraConfig.get().runtime.output_dir):
            error = LiverError(told)
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            kind = "" if isinstance(error, LiverError) else f"{type(error).__name__}: "
            log.error(f"FAILED: {kind}{error}")
        raise error


def _loaded(load: Callable[[], Job]) -> Job:
    """Import the job without garbage collection: what modules make at their import stays."""
    gc.disable()
    try:
        return load()
    finally:
        gc.freeze()  # nor is it scanned later, here and in the processes that load slices
        gc.enable()


def _result(job: JobReturn) -> Any:
    """Return what a job returned, or raise its error; Hydra would print the overrides before an expected one."""
    if isinstance(job._return_value, EXPECTED):
        raise job._return_value
    return _return_value.fget(job)


JobReturn.return_value = property(_result, _return_value.fset)  # type: ignore[method-assign, assignment]


def stop(error: BaseException) -> NoReturn:
    """Print what is wrong and its causes, and leave with exit code 2, or 1 if a part is done."""
    messages = [answer(error) or _text(error)]
    cause = None if isinstance(error, LiverError) or answer(error) else error.__cause__  # these say it all
    while cause:
        if isinstance(cause, HydraException | OmegaConfBaseException) and str(cause) not in messages[-1]:
            messages.append(_text(cause))
        cause = cause.__cause__
    print("\n".join(message.strip() for message in messages), file=sys.stderr)
    sys.exit(1 if isinstance(error, PartlyDone) else 2)


def _text(error: BaseException) -> str:
    override = getattr(error, "override", None)  # of a command line that could not be parsed
    if override and "=" not in override:
        return f"{override}: expected OPTION=VALUE, such as {override}=1, without spaces"
    hint = "\nQuote a value that has a sign in it: \"GROUP.OPTION='VALUE'\"; write $HOME for ~." if override else ""
    return f"{override}: {error}{hint}" if override else str(error)
