"""What may be wrong with a data set before anything is learnt from it or measured on it."""
