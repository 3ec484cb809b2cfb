"""What all callbacks need of Lightning: its counters, its ranks, its checkpoints, its loggers."""
