"""Edits: the changes themselves, and how they are undone."""
