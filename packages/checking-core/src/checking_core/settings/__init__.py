"""Settings of the rooms of core, one small class per concern. Read once by an entry point, never at import.

Every variable of ours has the prefix ``CHECKING_``; the names of the original system are accepted as well. A worker's
settings hold no database, a server's no backend credentials. All of them: docs/reference/settings.md.
"""

from checking_core.settings.backends import BackendSettings, BackendsSettings
from checking_core.settings.broker import BrokerRole, BrokerSettings
from checking_core.settings.database import DatabaseSettings
from checking_core.settings.environment import ENVIRONMENT, Origin, Setting, describe, read, variables_of
from checking_core.settings.log import LogSettings
from checking_core.settings.plan import HintsMode, PlanSettings
from checking_core.settings.worker import WorkerSettings

__all__ = [
    "ENVIRONMENT",
    "BackendSettings",
    "BackendsSettings",
    "BrokerRole",
    "BrokerSettings",
    "DatabaseSettings",
    "HintsMode",
    "LogSettings",
    "Origin",
    "PlanSettings",
    "Setting",
    "WorkerSettings",
    "describe",
    "read",
    "variables_of",
]
