"""The attention RNN of Press & Wolf's Table 8 (DL4MT's gru_cond)."""
