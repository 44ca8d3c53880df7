"""The project's own metrics: pure functions of what was found and what is true."""
