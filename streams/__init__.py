"""Wiring: the PyFlink job, its source and sinks, and the one adapter that runs operators in Flink."""
