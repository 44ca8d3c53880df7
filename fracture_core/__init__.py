"""The core of the fracture workbench: everything but the pages and the trainers."""
