"""From text to prepared/, and from prepared/ to batches."""
