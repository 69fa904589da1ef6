"""The model folder: how it is written and read, its weights, averages of them, and what it counts."""
