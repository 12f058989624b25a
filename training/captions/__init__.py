"""How the bundled language model `captions` is made: its pairs of captions, its training and its measurement."""
