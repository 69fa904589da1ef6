"""Text and subwords: byte pair encoding in subword-nmt's algorithm and file format. Knows nothing of tensors."""
