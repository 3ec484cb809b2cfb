"""Models as they are built: names, patterns, places, structure and source."""
