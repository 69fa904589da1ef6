"""Translation: batches of pairs, the loss over their targets, validation by cross entropy and BLEU."""
