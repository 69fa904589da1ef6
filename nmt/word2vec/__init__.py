"""word2vec: skip-gram with negative sampling (Mikolov et al., 2013), untied and tied."""
