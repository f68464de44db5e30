"""Threads: one unless a person chooses more, the caller's own setting restored, and the answer the same."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from alphadiffract_plugin import threads
from alphadiffract_plugin.registry import plugins
from alphadiffract_plugin.settings import Settings


@pytest.fixture
def two_threads():
    """A caller who lets torch use two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_one_thread_unless_a_person_chooses(monkeypatch):
    monkeypatch.delenv(threads.VARIABLE, raising=False)
    assert threads.chosen_number() == 1
    monkeypatch.setenv(threads.VARIABLE, "3")
    assert threads.chosen_number() == 3
    with threads.limited(2):
        assert threads.chosen_number() == 2
        with threads.limited():
            assert threads.chosen_number() == 2, "an inner call keeps to what the outer one chose"
    for nonsense in ("", "many", "-1", "0"):
        monkeypatch.setenv(threads.VARIABLE, nonsense)
        assert threads.chosen_number() == 1


def test_the_callers_own_setting_comes_back(two_threads):
    with threads.limited(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with pytest.raises(RuntimeError), threads.limited(1):
        raise RuntimeError("the work failed")
    assert torch.get_num_threads() == 2


def test_torch_that_is_imported_within_the_block_is_limited_too():
    code = (
        "from alphadiffract_plugin import threads\nimport sys\n"
        "with threads.limited(1):\n"
        "    assert 'torch' not in sys.modules\n    import torch\n    own = torch.get_num_threads()\n"
        "    threads.limit_torch()\n    assert torch.get_num_threads() == 1\n"
        "assert torch.get_num_threads() == own\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=1800)


def test_the_indexer_of_a_host_works_in_one_thread_and_leaves_the_hosts_setting(two_threads, monkeypatch, lab6_lab):
    from alphadiffract_plugin import pipeline

    seen = []
    monkeypatch.delenv(threads.VARIABLE, raising=False)

    def seen_threads(*_):
        seen.append((threads.chosen_number(), torch.get_num_threads()))

    monkeypatch.setattr(pipeline, "index_histogram", seen_threads)
    index = plugins().indexer("alphadiffract").index
    index(lab6_lab, Settings())
    with threads.limited(2):
        index(lab6_lab, Settings())
    assert seen == [(1, 1), (2, 1)], "torch has one thread, whatever the number of lattices searched at a time"
    assert torch.get_num_threads() == 2


def test_the_flow_called_directly_has_one_thread_in_torch_too(two_threads, monkeypatch, lab6_lab):
    from alphadiffract_plugin import pipeline

    seen = []

    def evidence(*_):
        seen.append(torch.get_num_threads())
        raise RuntimeError("enough")

    monkeypatch.setattr(pipeline, "gather_evidence", evidence)
    with pytest.raises(RuntimeError, match="enough"):
        pipeline.index_histogram(lab6_lab, Settings())
    assert seen == [1]
    assert torch.get_num_threads() == 2
