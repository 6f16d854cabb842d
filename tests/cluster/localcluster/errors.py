"""What can go wrong, as the person at the terminal reads it."""


class ClusterError(Exception):
    """The sentence says what failed and what to do; the command ends with exit code 1."""
