"""From prepared/ to batches."""
