"""`python -m fracture_core`."""

from fracture_core.cli import main

main()
