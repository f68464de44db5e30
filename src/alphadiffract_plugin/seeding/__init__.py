"""What to start a refinement from: the files of an answer."""
