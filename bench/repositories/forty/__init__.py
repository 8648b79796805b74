"""Forty features of three entities."""
