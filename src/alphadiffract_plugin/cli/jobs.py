"""Several patterns at once: processes of one thread each, whose outcomes come in the order of the files."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

from alphadiffract_plugin import threads
from alphadiffract_plugin.cli.task import Outcome, Task, UnexpectedError
from alphadiffract_plugin.errors import AlphaDiffractError, InputError, SettingsError
from alphadiffract_plugin.hooks import PluginError

WATCH_SECONDS = 0.5
"""How often a process looks whether the first one still wants it."""


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
    """What became of each file, in the order of the files.

    If a process dies, one of the files that were being indexed then may be the cause. These are indexed again, one
    after another in a process of their own each, and only the file whose process dies again fails.
    """
    waiting = list(paths)
    known: dict[Path, Outcome] = {}
    while waiting:
        with _pool(min(jobs, len(waiting))) as pool:
            futures = {path: pool.submit(_outcome_in_process, task, path) for path in waiting if path not in known}
            try:
                while waiting:
                    yield known.pop(waiting[0]) if waiting[0] in known else futures[waiting[0]].result()
                    waiting.pop(0)
            except BrokenProcessPool:
                known |= {path: future.result() for path, future in futures.items() if _has_result(future)}
        for path in [path for path in waiting if path not in known][:jobs]:
            known[path] = _outcome_alone(task, path)


def _has_result(future: Future[Outcome]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _outcome_alone(task: Task, path: Path) -> Outcome:
    """The outcome of a file that may have killed its process, and may have left a part of its output."""
    again = dataclasses.replace(task, outputs=dataclasses.replace(task.outputs, overwrite=True))
    with _pool(1) as pool:
        try:
            return pool.submit(_outcome_in_process, again, path).result()
        except BrokenProcessPool:
            error = InputError(
                "was not indexed, because its process died twice; memory may be short",
                fix="index this file alone, or free memory",
                where=path,
            )
            return Outcome(path, error=error)


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with the block: when their work is done, or at once if the block is left by an exception."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(jobs, context, _begin, (threads.chosen_number(), stop))
    try:
        yield pool
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(number: int, stop: Event) -> None:
    """Set a new process up: its threads, and that it ends when the first process ends or no longer wants it."""
    os.environ[threads.VARIABLE] = str(number)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process hears Ctrl-C and sets ``stop``
    threading.Thread(target=_watch, args=(stop,), daemon=True).start()


def _watch(stop: Event) -> None:
    first = multiprocessing.parent_process()
    while not stop.wait(WATCH_SECONDS):
        if first is not None and not first.is_alive():
            break
    os._exit(1)


def _outcome_in_process(task: Task, path: Path) -> Outcome:
    """The outcome of one file, in a form that the first process can read."""
    with threads.limited():
        outcome = task.outcome_of(path)
    if outcome.error is not None and not isinstance(outcome.error, (AlphaDiffractError, PluginError)):
        outcome.error = UnexpectedError(f"{type(outcome.error).__name__}: {outcome.error}")
    return outcome
