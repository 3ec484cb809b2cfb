"""Models as they run: once, on an example, without a trace."""
