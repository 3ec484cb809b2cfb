"""Random generators of all libraries: found, read and put back."""
