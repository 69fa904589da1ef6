"""Models, and the interface that training and search know of them."""
