"""The parts of `AdaptiveDropout`: its law, and the evidence that the law goes by."""
