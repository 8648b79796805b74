"""What is only right where a person's profile is known."""
