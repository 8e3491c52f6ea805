"""Side-by-side timings against peers, made with ``make bench``; see README.md in this folder."""
