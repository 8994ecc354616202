"""A soak: all inputs together at the limit, with faults, on the local stack."""
