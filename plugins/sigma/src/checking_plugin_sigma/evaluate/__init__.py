"""Evaluation: many rules over a few thousand events at a time."""
