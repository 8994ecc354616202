"""The naive peer: an SMS gateway as it is often written first."""
