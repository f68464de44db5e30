"""One module a family of file formats; each turns the file into a :class:`~.reading.Reading`, unchecked."""
