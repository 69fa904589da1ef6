"""Tables 5 and 6 of the paper: language models, trained from one text and compared."""
