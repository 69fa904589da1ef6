"""The whole paper on one page: eight tables and the claims of its abstract, from the reports of the single tables."""
