"""`python -m payi_middleware`, where the script `payi` is not on the path."""

from __future__ import annotations

from .cli import main

main()
