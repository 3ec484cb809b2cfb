"""Forwards that are cut before their first mask, so that what comes before is computed once."""
