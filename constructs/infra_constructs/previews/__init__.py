"""What gives a pull request a place of its own, and takes it back."""
