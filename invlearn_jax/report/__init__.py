"""The report of runs as one page, and what pictures are drawn with."""
