"""Several patterns at once: processes of one thread each, whose outcomes come in the order of the files."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from alphadiffract_plugin import threads
from alphadiffract_plugin.cli.task import Outcome, Task, UnexpectedError
from alphadiffract_plugin.errors import AlphaDiffractError, InputError, SettingsError
from alphadiffract_plugin.hooks import PluginError


def usable_cores() -> int:
    """Cores that this process may use: those of its affinity mask where the system has one."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def number_of_processes(task: Task, wanted: int | None) -> int:
    """Processes to use: the wanted number, else one a core; one if the indexer cannot be sent to another process.

    Raises
    ------
    SettingsError : it cannot, and several processes were wanted.
    """
    try:
        pickle.dumps(task)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        if (wanted or 1) > 1:
            raise SettingsError(
                f"the indexer {task.indexer.name!r} cannot be sent to another process ({error})", fix="give --jobs 1"
            ) from error
        return 1
    return wanted or usable_cores()


def outcomes_of_processes(task: Task, paths: Sequence[Path], jobs: int) -> Iterator[Outcome]:
    """What became of each file, in the order of the files; a process that dies fails the files that were not done."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(jobs, len(paths)), context, _begin, (threads.chosen_number(),))
    try:
        futures = [pool.submit(_outcome_in_process, task, path) for path in paths]
        for path, future in zip(paths, futures, strict=True):
            yield _outcome(path, future)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _begin(number: int) -> None:
    """Set a new process up: its threads, and that Ctrl-C ends it without a traceback."""
    os.environ[threads.VARIABLE] = str(number)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _outcome_in_process(task: Task, path: Path) -> Outcome:
    """The outcome of one file, in a form that the first process can read."""
    with threads.limited():
        outcome = task.outcome_of(path)
    if outcome.error is not None and not isinstance(outcome.error, (AlphaDiffractError, PluginError)):
        outcome.error = UnexpectedError(f"{type(outcome.error).__name__}: {outcome.error}")
    return outcome


def _outcome(path: Path, future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except BrokenProcessPool:
        error = InputError(
            "was not indexed, since a process died; memory may be short",
            fix="give --jobs 1, or free memory",
            where=path,
        )
        return Outcome(path, error=error)
