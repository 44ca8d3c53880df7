"""Compare: models side by side on a case, and on a data set."""
