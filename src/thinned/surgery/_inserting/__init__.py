"""The parts of `insert`: where layers may go, which, and how they hang there."""
