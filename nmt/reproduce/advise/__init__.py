"""Three-way, decoder or untied, and how many merges: counts of a corpus, a short paired training, and a stated rule."""
