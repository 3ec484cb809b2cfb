"""What dropout does, measured: one section a file, for `scripts/evidence`."""
