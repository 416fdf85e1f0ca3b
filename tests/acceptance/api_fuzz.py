"""Everything that the API's description allows, and much that it forbids, asked of a server with stored rows.

    python -m tests.acceptance.api_fuzz SCHEMATHESIS [--examples 50]

SCHEMATHESIS is its command. It asks twice, as an admin and as nobody: no answer may be a 5xx, of another status or
another shape than described.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from .command import checking, served
from .test_events import ingest

_UNFIT = {
    "positive_data_acceptance": "a cursor, a time that has passed and a missing row are refused for what they mean",
    "allow_header_conformance": "the framework answers OPTIONS by itself, and leaves methods out",
    "negative_data_rejection": "a time may also be a number of seconds since 1970",
}


def main() -> int:
    """Ask; 0 if nothing was found."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("schemathesis")
    arguments.add_argument("--examples", type=int, default=50)
    given = arguments.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        key = checking(folder, "keys", "create", "fuzz", "--role", "admin").stdout.strip()
        with served(folder, access=(), API_REQUESTS_PER_MINUTE="0") as server:
            for link in range(3):
                ingest(server, link, key=key)
            found = [
                subprocess.run(
                    [
                        *(given.schemathesis, "run", f"{server.url}/schema/openapi.json", "--checks", "all"),
                        *("--exclude-checks", ",".join(_UNFIT), "--exclude-path", "/api/v1/events/stream"),
                        *("--max-examples", str(given.examples), "--workers", "1", *headers),
                    ],
                    check=False,
                    cwd=folder,
                ).returncode
                for headers in (("-H", f"X-API-Key: {key}"), ("-H", f"X-Nobody: {json.dumps(True)}"))
            ]
            errors = server.log.count("request_failed")
    print(f"{errors} unexpected errors in the server's log")
    return int(any(found) or errors > 0)


if __name__ == "__main__":
    sys.exit(main())
