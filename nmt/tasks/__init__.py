"""What is trained: each task has a folder, and training knows it by its interface."""
