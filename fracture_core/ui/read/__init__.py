"""Read: a case, its predictions, explanations and scope."""
