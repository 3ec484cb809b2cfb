"""The page of one run, and what it says first."""
