"""What the callbacks that set rates share."""
