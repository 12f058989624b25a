"""`python -m aquatint` is the command `aquatint`."""

from aquatint.interface.cli import main

raise SystemExit(main())
