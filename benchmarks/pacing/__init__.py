"""Benchmark of the pacing: how near to the provider's limits a burst is sent, and what that costs.

``python -m benchmarks.pacing`` drains bursts through the built application (``make build``) on the local stack against
the strict simulator, and through a naive peer under the same limits. It prints one table, and writes it with a plot to
docs/pacing-benchmark.md and docs/pacing.png. A missed target is printed, and the exit status stays 0.
"""
