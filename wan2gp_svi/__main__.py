"""`python -m wan2gp_svi` is the command `wan2gp-svi`."""

from wan2gp_svi.cli import main

raise SystemExit(main())
