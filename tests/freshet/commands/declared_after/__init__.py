"""What it is brought to."""
