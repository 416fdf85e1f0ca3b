"""Sigma rules: what they are here, how they are read, and where they are kept compiled."""
