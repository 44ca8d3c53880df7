"""Training: configs and recipes, the data path, one loop for all families, one file for each.

A run goes from `running.make_run` (its config) over `running.train_run` (checkpoints in
`loop` or `yolo`) to its card. `python -m trainers` is the command line.
"""
