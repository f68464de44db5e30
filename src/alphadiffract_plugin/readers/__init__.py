"""Readers of measured patterns, one module per family of file formats; each returns a :class:`~.reading.Reading`.

``recognise`` finds the reader of a file; ``check`` refuses what is not a powder pattern.
"""

from alphadiffract_plugin.readers.reading import NotReadError, Reading
from alphadiffract_plugin.readers.recognise import reading_from_file

__all__ = ["NotReadError", "Reading", "reading_from_file"]
