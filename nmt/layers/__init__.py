"""Parts of models, over tensors; they take plain parameters and never a config."""
