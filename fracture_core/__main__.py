"""Makes `python -m fracture_core` the command line of `fracture_core.cli`."""

from fracture_core.cli import main

main()
