"""The tables of Press & Wolf (2017), one module each, and their reports."""
