"""Power loss: a disk that writes down what it was told, and every state that it may have been left in."""
