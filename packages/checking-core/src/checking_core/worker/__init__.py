"""Runs detectors: ``run_task.py`` turns one task into one result, ``loop.py`` serves queues."""
