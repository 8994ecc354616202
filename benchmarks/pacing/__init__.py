"""Benchmark of what works together on the local stack: the pacing, the gate, and the outcome events."""
