"""Wiring: the PyFlink job, its source and sinks, and the one adapter that runs operators in Flink."""

from streams import interpreter as interpreter  # before any other module: see there
