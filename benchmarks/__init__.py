"""Benchmarks of what is deployed: speed as ratios against a peer in the same run, and the size of the layers.

``python -m benchmarks`` measures the built functions and layers (``make build``), prints one table and writes it to
docs/benchmarks.md. Nothing here asserts a time: a missed target is printed, and the exit status stays 0.
"""
