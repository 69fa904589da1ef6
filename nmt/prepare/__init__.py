"""From text to prepared/: read, checked, cleaned, cut into pieces, counted."""
