"""Lets any Hydra application on the machine find the configuration groups of thinned."""
