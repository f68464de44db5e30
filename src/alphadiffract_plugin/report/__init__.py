"""What a person sees: ``tables`` and ``structures`` for the terminal, ``plot`` for the picture."""

from alphadiffract_plugin.report.plot import save_plot
from alphadiffract_plugin.report.tables import overview, print_report, result_report

__all__ = ["overview", "print_report", "result_report", "save_plot"]
