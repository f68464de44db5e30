"""One module a family of file formats; each turns the file into a :class:`~.reading.Reading`, unchecked.

``recognise`` finds the reader of a file, ``check`` refuses what is no powder pattern.
"""

from alphadiffract_plugin.readers.reading import NotReadError, Reading
from alphadiffract_plugin.readers.recognise import reading_from_file

__all__ = ["NotReadError", "Reading", "reading_from_file"]
