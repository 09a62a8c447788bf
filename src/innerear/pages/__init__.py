"""What a browser opens."""
