"""Telemetry: reading files of many kinds, and giving their events the names that Sigma rules use."""
