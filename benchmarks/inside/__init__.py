"""What runs in a process of the built function: these modules import the layers, and `benchmarks` does not."""
