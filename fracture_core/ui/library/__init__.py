"""Library: model cards, adding a model, making a consensus."""
