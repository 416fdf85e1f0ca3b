"""Recording telemetry of one's own: which processes a command starts, on Linux, without any sensor installed."""
