"""Search for the best translation; sees a model only through `nmt.models.interface`."""
