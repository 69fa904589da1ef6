"""Models of other toolkits into model folders, and back."""
