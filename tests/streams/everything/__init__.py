"""Definitions for the parity test: every family under every scope, and some of them of every entity."""
