"""Ten features of three entities."""
