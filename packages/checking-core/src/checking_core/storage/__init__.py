"""One store on two databases: SQLite (embedded default) and PostgreSQL. Needs the extra ``storage``."""

from checking_core.storage.listing import Page, Paging
from checking_core.storage.unit_of_work import Store, UnitOfWork

__all__ = ["Page", "Paging", "Store", "UnitOfWork"]
