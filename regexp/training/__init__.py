"""The training loop, and the cohort, optimizers and metrics that it uses. Knows no files, terminals or Hydra."""
