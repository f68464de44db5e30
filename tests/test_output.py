"""Stories about files that are written whole or not at all, also by processes that are killed or meet."""

import os
import signal
import subprocess
import sys
import tempfile

import pytest

from alphadiffract_plugin.errors import OutputError
from alphadiffract_plugin.output import only_here, scratch_folder, write_text

KILLED = """
import os, signal, sys
from pathlib import Path
from alphadiffract_plugin.output import scratch_folder, write_whole

def half(path):
    path.write_text("half of an ans")
    with scratch_folder():
        os.kill(os.getpid(), signal.SIGKILL)

write_whole(Path(sys.argv[1]), half)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_what_a_killed_process_left_goes_when_the_file_is_written_again(tmp_path, monkeypatch):
    temporary, answer = tmp_path / "temporary", tmp_path / "out" / "anglesite.json"
    for folder in (temporary, answer.parent):
        folder.mkdir()
    answer.write_text("the old answer")
    command, place = [sys.executable, "-c", KILLED, str(answer)], os.environ | {"TMPDIR": str(temporary)}
    assert subprocess.run(command, env=place, timeout=600).returncode == -signal.SIGKILL
    assert answer.read_text() == "the old answer"
    [left] = [path for path in answer.parent.iterdir() if path != answer]
    assert left.name.startswith(".anglesite.json-")
    assert [path.name.split("-")[0] for path in temporary.iterdir()] == [".alphadiffract"]
    write_text(answer, "the new answer")
    assert list(answer.parent.iterdir()) == [answer] and answer.read_text() == "the new answer"
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with scratch_folder() as mine:
        assert list(temporary.iterdir()) == [mine]
    assert not list(temporary.iterdir())


def test_a_name_as_long_as_names_may_be_is_written(tmp_path):
    name = "é" * 125 + ".json"
    assert write_text(tmp_path / name, "{}").read_text() == "{}"
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot lock a folder")
def test_a_folder_that_is_being_filled_is_refused_and_free_again_afterwards(tmp_path):
    with only_here(tmp_path):
        with pytest.raises(OutputError, match="another process is writing into this folder\n  How to fix it: wait"):
            with only_here(tmp_path):
                pytest.fail("two at once")
    with only_here(tmp_path):
        assert not list(tmp_path.iterdir()), "no file says that it is in use: a killed process blocks nothing"
