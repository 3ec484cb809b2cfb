"""Somebody's forward: what goes in and comes out, which sites are on, what is kept about it."""
