"""How models are trained: configs, recipes, the data path, one loop, one file a family."""
