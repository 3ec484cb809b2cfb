"""The parts of `OverfittingMonitor` beside the probe: keys, rows, what is shown."""
