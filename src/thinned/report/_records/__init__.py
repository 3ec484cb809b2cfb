"""Records: written, found and read, ours and those of other loggers."""
