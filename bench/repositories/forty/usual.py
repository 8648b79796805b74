"""Forty of the usual features."""

from bench.repositories.made import features

FEATURES = features(40)
