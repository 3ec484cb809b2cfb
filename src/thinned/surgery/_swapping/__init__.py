"""The parts of `swap`: what may be swapped, and for what."""
