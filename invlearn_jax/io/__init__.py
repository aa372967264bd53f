"""Input and output: checkpoints, planners on disk, run folders."""
