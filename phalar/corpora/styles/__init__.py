"""What the players of a band know, one idea a file: instruments, rhythms, voicings, and the patterns of each style."""
