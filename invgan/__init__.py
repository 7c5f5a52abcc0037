"""invgan."""
