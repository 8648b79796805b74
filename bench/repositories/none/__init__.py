"""No features."""
