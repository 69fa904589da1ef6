"""What trained language models are for: perplexity, scores of lines, text drawn at random."""
