"""Real patterns for the stories: paths, and histograms loaded once a session."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from alphadiffract_plugin import gsasii
from alphadiffract_plugin.load import histogram_from_file
from alphadiffract_plugin.records import Histogram

if TYPE_CHECKING:
    from alphadiffract_plugin.pipeline import GatheredEvidence

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "data"
EXAMPLES = ROOT / "examples" / "data"

# no test depends on how fast or busy the machine is
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked ``gsasii`` where GSAS-II cannot be imported."""
    if gsasii.find() is None:
        skipped = pytest.mark.skip(reason=f"GSAS-II is not importable; see {gsasii.INSTALL}")
        for item in items:
            if item.get_closest_marker("gsasii"):
                item.add_marker(skipped)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line each how many tests of GSAS-II did not run, and what they miss."""
    reasons = [str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []) if report.longrepr]
    for line in missing_lines(reasons):
        terminalreporter.write_sep("=", line, red=True)


def missing_lines(reasons: list[str]) -> list[str]:
    """The lines about skipped tests of GSAS-II: GSAS-II itself is missing only where it cannot be imported."""
    count = sum("GSAS-II is not importable" in reason for reason in reasons)
    lines = [f"GSAS-II IS NOT IMPORTABLE: {count} of its tests did not run"] if count else []
    windows = [reason for reason in reasons if "GSAS-II's window is not driven" in reason]
    return lines + [reason.removeprefix("Skipped: ") for reason in dict.fromkeys(windows)]


SCREEN = "-screen 0 1280x1024x24 -noreset"


@pytest.fixture(scope="session")
def gsasii_window() -> Callable[..., list[str]]:
    """Run a script that drives GSAS-II's window, on a screen that nobody sees: ``gsasii_window(script, file, home)``.

    It gives the lines that the script printed. GSAS-II runs in the Python that the variable GSASII_PYTHON names, or in
    that of the tests.
    """
    python = os.environ.get("GSASII_PYTHON", sys.executable)
    missing = ["Xvfb"] if shutil.which("xvfb-run") is None else []
    for module, name in (("GSASII", "GSAS-II"), ("wx", "wxPython")):
        look = f"import importlib.util; raise SystemExit(importlib.util.find_spec('{module}') is None)"
        missing += [name] if subprocess.run([python, "-c", look]).returncode else []
    if missing:
        pytest.skip(f"{', '.join(sorted(missing))} missing: GSAS-II's window is not driven")

    def run(script: str, file: Path, home: Path) -> list[str]:
        own = {"HOME": str(home), "USERPROFILE": str(home), "GDK_BACKEND": "x11"}
        command = ["xvfb-run", "-a", "-s", SCREEN, python, "-c", WINDOW + script, str(file)]
        done = subprocess.run(command, cwd=home, env=os.environ | own, capture_output=True, text=True, timeout=600)
        seen = [line for line in done.stdout.splitlines() if line.startswith("SEEN ")]
        assert seen, done.stderr[-3000:]
        return [line.removeprefix("SEEN ") for line in seen]

    return run


WINDOW = """
import faulthandler, json, os, sys
faulthandler.dump_traceback_later(200, exit=True)
import wx
app = wx.App(False)
from GSASII import GSASIIpath
GSASIIpath.SetBinaryPath(True)
from GSASII import GSASIIctrlGUI, GSASIIdataGUI
# otherwise a GSAS-II without all of its programs begins with a question
GSASIIdataGUI.ShowVersions = lambda: GSASIIdataGUI.versionDict.update(errors="")
file = sys.argv.pop()
GSASIIdataGUI.GSASIImain(app)
[window] = [one for one in wx.GetTopLevelWindows() if hasattr(one, "ImportMenuId")]
"""
"""The beginning of a script that drives GSAS-II's window, which would open a project named on its command line."""


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of test patterns; its README.md says where each came from."""
    return DATA


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of example patterns."""
    return EXAMPLES


@pytest.fixture(scope="session")
def pbso4_xray() -> Histogram:
    """Anglesite, P n m a, 8.480 5.398 6.958 Å; laboratory Cu Kα doublet, 10 to 160 degrees."""
    return histogram_from_file(EXAMPLES / "pbso4_xray.xye", wavelength="1.5405/1.5443")


@pytest.fixture(scope="session")
def pbso4_neutron() -> Histogram:
    """Anglesite again, with neutrons of 1.909 Å."""
    return histogram_from_file(DATA / "pbso4_neutron.xye", wavelength=1.909, radiation="neutron")


@pytest.fixture(scope="session")
def lab6_lab() -> Histogram:
    """LaB6 of NIST (SRM 660), P m -3 m, 4.15683 Å; laboratory Cu Kα doublet."""
    return histogram_from_file(DATA / "lab6_lab.xye", wavelength="CuKa")


@pytest.fixture(scope="session")
def lab6_ssrl() -> Histogram:
    """LaB6, P m -3 m, 4.15683 Å; synchrotron, 2 to 60 degrees, background subtracted."""
    return histogram_from_file(DATA / "lab6_ssrl.xy", wavelength=0.729568)


@pytest.fixture(scope="session")
def zincite_ssrl() -> Histogram:
    """ZnO, P 63 m c, 3.2483 5.2041 Å; synchrotron, 2 to 50 degrees, background subtracted."""
    return histogram_from_file(DATA / "zincite_ssrl.xy", wavelength=0.729568)


@pytest.fixture(scope="session")
def tartrate_ssrl() -> Histogram:
    """KHC4H4O6, P 21 21 21, 7.6130 7.7872 10.6546 Å; synchrotron, 2 to 40 degrees, background subtracted."""
    return histogram_from_file(DATA / "tartrate_ssrl.xy", wavelength=0.729568)


@pytest.fixture(scope="session")
def mg2si_iucr() -> Histogram:
    """Mg2Si at 100 K, F m -3 m, 6.3347 Å; synchrotron, 0.49935 Å."""
    return histogram_from_file(DATA / "mg2si_iucr.xy", wavelength=0.49935)


@pytest.fixture(scope="session")
def window_task(pbso4_xray: Histogram) -> dict[str, Any]:
    """What 'Index with AlphaDiffract' in GSAS-II's menu hands over of ``pbso4_xray``, with limits and a gap."""
    columns = [pbso4_xray.two_theta, pbso4_xray.intensity, 1 / np.square(pbso4_xray.esd)]
    ends = [float(pbso4_xray.two_theta[0]), float(pbso4_xray.two_theta[-1])]
    instrument = {"Type": "PXC", "Lam1": 1.5405, "Lam2": 1.5443, "I(L2)/I(L1)": 0.5, "Zero": 0.0}
    return {
        "form": 1,
        "histogram": "PWDR pbso4_xray.xye",
        "columns": [column.tolist() for column in columns],
        "limits": [ends, [15.0, 100.0], [40.0, 42.0]],
        "instrument": {key: [value, value, False] for key, value in instrument.items()},
        "phases": [],
        "alone": True,
    }


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., SimpleNamespace]:
    """Run the command line in this process: ``cli("index", path, ...)`` gives its code, out and err.

    The fake plugins ``instant`` and ``crashing`` of tests/plugins stand beside the built-in one.
    """
    import importlib

    from alphadiffract_plugin import plugin, registry
    from alphadiffract_plugin.cli import app
    from alphadiffract_plugin.hooks import RietveldPlugins

    monkeypatch.syspath_prepend(ROOT / "tests" / "plugins")

    def run(*arguments: object, plugins: tuple[str, ...] = ("instant", "crashing")) -> SimpleNamespace:
        fakes = [(name, importlib.import_module(name)) for name in plugins]
        monkeypatch.setattr(registry, "plugins", lambda: RietveldPlugins(builtin=[("alphadiffract", plugin), *fakes]))
        with pytest.raises(SystemExit) as leaving:
            app.main([str(argument) for argument in arguments])
        return SimpleNamespace(code=leaving.value.code or 0, **capsys.readouterr()._asdict())

    return run


@pytest.fixture(scope="session")
def micro_settings() -> Callable[..., str]:
    """TOML of a training run of seconds, in float32 on one thread, by which losses can be compared to the last digit.

    ``micro_settings(training={"patterns": 480})`` changes keys of a section.
    """
    from alphadiffract_plugin.models.training.toml import written

    usual = {
        "network": {"channels": [16, 24], "blocks": [1, 1], "hidden": 32},
        "data": {"structures": [str(EXAMPLES / "structures_3dsc.parquet")], "validation": 2},
        "training": {"batch": 8, "shards": 2, "precision": "32-true", "threads": 1},
    }

    def make(**changes: dict[str, object]) -> str:
        return written({name: keys | changes.get(name, {}) for name, keys in usual.items()})

    return make


@pytest.fixture(scope="session")
def anglesite(pbso4_xray: Histogram) -> GatheredEvidence:
    """All that is known of ``pbso4_xray`` before its answers are ranked: it is searched once a session."""
    from alphadiffract_plugin.pipeline import gather_evidence
    from alphadiffract_plugin.settings import Settings

    return gather_evidence(pbso4_xray, Settings())


@pytest.fixture
def refusing():
    """``refusing(first, raises)`` is a ``Refine`` of GSAS-II that gives up from a call on, in one of its two ways."""
    from alphadiffract_plugin import gsasii

    def made(first, raises):
        real, calls = gsasii.refine_function(), []

        def refine(*arguments, **more):
            calls.append(1)
            if len(calls) < first:
                return real(*arguments, **more)
            if raises:
                raise KeyError("RefList")
            return False, {"msg": "Invalid metric tensor"}

        return refine

    return made
