"""Results for a reader: ``tables`` and ``structures`` on the terminal, ``plot`` as a picture."""

from alphadiffract_plugin.report.plot import save_plot
from alphadiffract_plugin.report.tables import overview, print_report, result_report

__all__ = ["overview", "print_report", "result_report", "save_plot"]
