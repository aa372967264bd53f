"""The report of runs, and what pictures are drawn with."""
