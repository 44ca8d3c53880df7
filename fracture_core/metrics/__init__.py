"""The project's own metrics: pure functions of predictions and ground truths, in NumPy alone."""
