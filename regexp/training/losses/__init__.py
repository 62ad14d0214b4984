"""The training loss: the losses that there are, what changes them, and what is added to them."""
