"""What TensorBoard shows of runs: their event files, the columns of the HParams page, and log directories."""
