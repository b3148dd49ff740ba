"""What a difference means, one subject a file. Each yields effects of one change, of one export, or of the whole."""
