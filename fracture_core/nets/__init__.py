"""This project's own networks, written to be read: one concept in each file."""
