"""Compiled models: rates that move there without a recompilation."""
