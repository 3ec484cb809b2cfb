"""What rate, when: pure functions from progress to rate."""
