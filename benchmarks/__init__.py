"""Benchmarks of what is deployed: ratios against a peer in the same run. A missed target is printed, and no error."""
