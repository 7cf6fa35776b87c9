"""What is planned before training so that forgetting can be tested exactly afterwards: coin flips and planted noise."""
