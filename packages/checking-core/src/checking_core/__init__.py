"""Checking: contracts, worker template, matching and storage of the detection validation engine."""
