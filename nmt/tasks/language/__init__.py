"""Language models: streams of running text, the cost of the paper's code, validation by perplexity."""
