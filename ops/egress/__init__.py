"""How much of the media's traffic never reaches the bucket."""
