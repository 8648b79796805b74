"""Definitions whose windows end within a minute."""
