"""What composes jobs: the choices of options as Hydra does it, and the values that are set in them."""
