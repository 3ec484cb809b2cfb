"""Edits of the model that callbacks make, and what became of them."""
