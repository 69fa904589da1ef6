"""Translations explained on one HTML page: where each piece came from, how sure the model was, what else was likely."""
