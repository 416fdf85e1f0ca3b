"""Red-team files to messages: everything that ``accept`` takes from a file or a pipe."""

from checking_server.readers.caldera import Converted, operation_messages, report_messages
from checking_server.readers.files import RawMessage, read_messages

__all__ = ["Converted", "RawMessage", "operation_messages", "read_messages", "report_messages"]
