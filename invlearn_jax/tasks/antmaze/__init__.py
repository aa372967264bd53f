"""D4RL's antmaze: an eight-jointed ant that walks, on an open floor and among walls."""
