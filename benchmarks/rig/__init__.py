"""What the benchmarks share: the system as processes, what it uses, the messages sent, the figures printed."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import structlog

ROOT = Path(__file__).resolve().parents[2]

sys.path.insert(0, str(ROOT))  # the private servers of the tests serve here too
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # our commands, before others
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))  # figures alone are printed
