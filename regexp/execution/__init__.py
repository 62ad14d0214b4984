"""From jobs to trained runs: building cohorts, training them, recording and showing what happens."""
