"""`python -m payi_middleware.cli`, where the script `payi` is not on the path."""

from __future__ import annotations

from . import main

main()
