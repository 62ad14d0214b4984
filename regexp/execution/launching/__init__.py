"""What a launcher needs: the settings of Hydra's jobs, the objective of a run, and sweeps with others' launchers."""
