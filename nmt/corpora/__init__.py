"""The catalogue of corpora that nmt-data fetches."""
