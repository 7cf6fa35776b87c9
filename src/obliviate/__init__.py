"""Make a trained PyTorch model forget chosen training samples, and show with honest statistics how well it did."""
