"""The project's own figures: pure functions of what was found and what is true."""
