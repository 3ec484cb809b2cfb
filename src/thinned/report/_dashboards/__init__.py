"""The W&B workspace."""
