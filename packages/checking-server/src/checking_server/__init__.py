"""The Checking server and command."""
