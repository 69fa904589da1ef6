"""The LSTM language model of Zaremba et al. (2014)."""
