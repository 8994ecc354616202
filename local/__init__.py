"""The local stack: the provider's simulator and a whole deployment on a laptop."""
