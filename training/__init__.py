"""Offline: replays the operators over logs, fits the models and writes a bundle."""
