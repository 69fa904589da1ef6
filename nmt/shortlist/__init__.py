"""Which target pieces the pieces of a source sentence suggest, so that search need not score all of them."""

from nmt.shortlist.table import Shortlist, ShortlistOptions

__all__ = ["Shortlist", "ShortlistOptions"]
