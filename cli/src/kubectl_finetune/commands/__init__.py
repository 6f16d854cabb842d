"""What can be typed. Each command reads, shows or changes, and leaves the deciding to others."""
