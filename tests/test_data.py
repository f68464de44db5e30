"""The data in the repository: each file is listed with its source and licence, and is what the list says."""

import hashlib
import re

import pytest

ROW = re.compile(r"^\| `([^`]+)` \|(.*)\|(.*)\|(.*)\| `([0-9a-f]{64})` \|$", re.M)


def listed(folder):
    return {name: rest for name, *rest in ROW.findall((folder / "README.md").read_text(encoding="utf-8"))}


@pytest.mark.parametrize("which", ["data", "examples"])
def test_every_pattern_is_listed_with_source_licence_purpose_and_sum(which, request):
    folder = request.getfixturevalue(which)
    table = listed(folder)
    assert set(table) == {path.name for path in folder.iterdir()} - {"README.md"}
    for name, (source, licence, purpose, sha) in table.items():
        assert "https://" in source and licence.strip() and purpose.strip()
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha


def test_the_test_data_stay_small(data):
    assert sum(path.stat().st_size for path in data.iterdir()) < 2_000_000
