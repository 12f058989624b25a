"""How the bundled `shapes` checkpoint is made: its world of pictures, its training and its measurement."""
