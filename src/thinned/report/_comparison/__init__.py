"""The comparison of runs: arms, statistics, words, its page."""
